-- Two roles. enrich owns the database and its schema, and migrates: `flask db upgrade`, `flask db downgrade`. enrich_service
-- is the service's and the worker's: it reads and writes rows, and can neither change a table nor make one.
--
-- Run this in the service's database as a role that may create roles; running it again does no harm, before or after the
-- migrations. Then set both passwords (passwords.sql, or \password in psql).
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'enrich') THEN
        CREATE ROLE enrich LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'enrich_service') THEN
        CREATE ROLE enrich_service LOGIN;
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO enrich', current_database());
    -- By default everybody may connect and make temporary tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO enrich_service', current_database());
END
$$;
ALTER SCHEMA public OWNER TO enrich;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO enrich_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO enrich_service;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO enrich_service;
-- For the tables that migrations will make.
ALTER DEFAULT PRIVILEGES FOR ROLE enrich IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO enrich_service;
ALTER DEFAULT PRIVILEGES FOR ROLE enrich IN SCHEMA public GRANT USAGE ON SEQUENCES TO enrich_service;
