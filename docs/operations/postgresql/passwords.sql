-- The passwords of both roles, from the environment, so that they stand in no command line. For psql 14 or newer.
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv service_password POSTGRES_SERVICE_PASSWORD
ALTER ROLE enrich PASSWORD :'owner_password';
ALTER ROLE enrich_service PASSWORD :'service_password';
