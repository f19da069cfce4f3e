-- The CRM of the demo: a database that belongs to somebody else. Each demo begins with it as it stands here.
-- Invented people; the numbers are from a range reserved for fiction, each once.
BEGIN;

DROP TABLE IF EXISTS phones;
DROP TABLE IF EXISTS contacts;

CREATE TABLE contacts (
  id INTEGER PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  company TEXT,
  email TEXT,
  class TEXT NOT NULL DEFAULT 'C',
  language TEXT,
  account_no TEXT,
  remark TEXT,
  deleted_at TEXT,
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX contacts_changes ON contacts (updated_at, id);
CREATE TRIGGER contacts_updated AFTER UPDATE ON contacts BEGIN
  UPDATE contacts SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = new.id;
END;

CREATE TABLE phones (
  id INTEGER PRIMARY KEY,
  contact_id INTEGER NOT NULL REFERENCES contacts (id),
  number TEXT NOT NULL,
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX phones_of_contact ON phones (contact_id);
CREATE INDEX phones_changes ON phones (updated_at, contact_id);
CREATE TRIGGER phones_updated AFTER UPDATE ON phones BEGIN
  UPDATE phones SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = new.id;
END;

INSERT INTO contacts (id, first_name, last_name, company, email, class, language, account_no, remark) VALUES
  -- Alice stands in the file of customers as well, without a telephone; the account number joins the two.
  (1, 'Alice', 'Kern', 'Kern Optics Ltd', 'alice.kern@example.org', 'A', 'en', 'A-52', 'Visited the fair in spring'),
  (2, 'Benedikt', 'Aumann', 'Aumann Bakeries', 'b.aumann@example.com', 'B', 'de', 'A-202', NULL),
  (3, 'Chidi', 'Eze', 'Eze Logistics', 'chidi@example.org', 'A', 'en', 'A-203', 'Pays by the quarter'),
  (4, 'Dolores', 'Quintana', 'Quintana Ceramics', 'dolores@example.com', 'C', 'es', 'A-204', NULL),
  (5, 'Emre', 'Aksoy', 'Aksoy Textiles', 'emre.aksoy@example.com', 'B', 'tr', 'A-205', NULL),
  (6, 'Fiona', 'MacRae', 'MacRae Boatyard', 'fiona@example.org', 'C', 'en', 'A-206', 'Out on the water on Fridays'),
  (7, 'Giulia', 'Ferrante', 'Ferrante Tools', 'giulia@example.com', 'A', 'it', 'A-207', NULL),
  (8, 'Haruto', 'Mori', 'Mori Instruments', 'haruto.mori@example.org', 'B', 'ja', 'A-208', NULL),
  (9, 'Ingrid', 'Solheim', 'Solheim Dairy', 'ingrid@example.com', 'C', 'no', 'A-209', NULL),
  (10, 'Jamal', 'Rashid', 'Rashid & Daughters', 'jamal@example.org', 'B', 'ar', 'A-210', NULL),
  (11, 'Katarzyna', 'Wilk', 'Wilk Printing', 'k.wilk@example.com', 'C', 'pl', 'A-211', 'Invoices on paper'),
  (12, 'Leilani', 'Kahale', 'Kahale Gardens', 'leilani@example.org', 'C', 'en', 'A-212', NULL),
  (13, 'Mateus', 'Prado', 'Prado Coffee', 'mateus@example.com', 'A', 'pt', 'A-213', NULL),
  (14, 'Niamh', 'Kinsella', 'Kinsella Looms', 'niamh@example.org', 'B', 'en', 'A-214', NULL),
  (15, 'Olga', 'Petrenko', 'Petrenko Glass', 'olga@example.com', 'C', 'uk', 'A-215', NULL),
  (16, 'Pascal', 'Dumont', 'Dumont Cycles', 'pascal@example.org', 'B', 'fr', 'A-216', 'Two shops since June'),
  (17, 'Quynh', 'Tran', 'Tran Ceramics', 'quynh@example.com', 'C', 'vi', 'A-217', NULL),
  (18, 'Ravi', 'Menon', 'Menon Pumps', 'ravi.menon@example.org', 'A', 'en', 'A-218', NULL),
  (19, 'Sofia', 'Lindqvist', 'Lindqvist Lamps', 'sofia@example.com', 'B', 'sv', 'A-219', NULL),
  (20, 'Tadeo', 'Montes', 'Montes Saddlery', 'tadeo@example.org', 'C', 'es', 'A-220', NULL),
  (21, 'Uma', 'Deshpande', 'Deshpande Seeds', 'uma@example.com', 'A', 'en', 'A-221', NULL),
  (22, 'Viktor', 'Hald', 'Hald Roofing', 'viktor.hald@example.org', 'C', 'da', 'A-222', NULL),
  (23, 'Wanjiru', 'Kamau', 'Kamau Tea', 'wanjiru@example.com', 'B', 'sw', 'A-223', 'Ask for the estate manager'),
  (24, 'Xenia', 'Vlachou', 'Vlachou Olives', 'xenia@example.org', 'C', 'el', 'A-224', NULL),
  (25, 'Yusuf', 'Danjuma', 'Danjuma Solar', 'yusuf@example.com', 'B', 'en', 'A-225', NULL),
  (26, 'Zofia', 'Nowicka', 'Nowicka Pottery', 'zofia@example.org', 'C', 'pl', 'A-226', NULL),
  -- From 101 on: to whom something happens while one watches (changes.py).
  (102, 'Erik', 'Lindholm', 'Lindholm Timber', 'erik@example.com', 'B', 'sv', 'A-302', NULL),
  (103, 'Tomás', 'Rivera', 'Rivera Music', 'tomas@example.com', 'A', 'es', 'A-303', 'Plays the cello'),
  (104, 'Tom', 'Rivera', NULL, 'tom.rivera@example.org', 'C', 'en', NULL, 'From the web form'),
  (105, 'Henk', 'de Vries', 'De Vries Bulbs', 'henk@example.org', 'C', 'nl', 'A-305', NULL);

INSERT INTO phones (contact_id, number) VALUES
  (1, '(503) 555-0101'), (2, '(503) 555-0102'), (3, '(503) 555-0103'), (4, '(503) 555-0104'), (5, '(503) 555-0105'),
  (6, '503-555-0106'), (7, '503-555-0107'), (8, '503-555-0108'), (9, '503-555-0109'), (10, '503-555-0110'),
  (11, '503.555.0111'), (12, '503.555.0112'), (13, '503.555.0113'), (14, '503.555.0114'), (15, '503.555.0115'),
  (16, '+1 503 555 0116'), (17, '+1 503 555 0117'), (18, '+1 503 555 0118'), (19, '+1 503 555 0119'),
  (20, '+15035550120'), (21, '+15035550121'), (22, '+15035550122'), (23, '+15035550123'), (24, '+15035550124'),
  (25, '(503) 555-0125'), (25, '(503) 555-0126'), (26, '(503) 555-0127'), (26, '(503) 555-0128'),
  (102, '(503) 555-0142'), (103, '(503) 555-0143'), (104, '(503) 555-0144'), (105, '(503) 555-0145');

COMMIT;
