"""Customers: how files and staff make them, how a task's attributes identify one, and the block about them.

what a key is       identifiers, addresses, phone_numbers, withheld, spelling, accents
files               fixtures and fixture_rows (rows and their validation), file_formats, csv_records, columns,
json_customers, workbooks, vcards, seen_ids; source_record, record_batches, reading_process,
file_loads
the rules           projection, clusters (records and decisions make customers), provenance, brake, editing; pure
the store           tables, source_tables; projector keeps customers equal to the rules, with projection_writes,
new_customers and adoption; record_intake, streams, lease_owners and seeding apply what sources say, decisions
and audit what staff do; records, export, search and explanation read
a callback          matching, store, block; interactions, card_token
"""
