"""Customers: how files, sources and staff make them, how a task's attributes identify one, and the block about them.

what a key is       identifiers, addresses, phone_numbers, withheld, spelling, accents
files               fixtures and fixture_rows (rows and their validation), file_formats, csv_records, columns,
                    json_customers, workbooks, vcards, seen_ids; record_batches, reading_process; seeding, file_loads
sources             source_record, record_reading and arrivals (a record, its problems, which of two is newer);
                    streams, lease_owners and stream_writer apply what a source says, by record_intake; quarantine
the rules           projection, clusters (records and decisions make customers), provenance, brake, editing; pure
the store           tables, source_tables; projector keeps customers equal to the rules, with projection_writes,
                    new_customers and adoption; decisions, audit and undo: what staff do; records, export, search and
                    explanation read
a callback          matching, store, block; interactions, card_token
"""
