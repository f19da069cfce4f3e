"""Maximum lengths: of stored text in characters, which are the widths of the columns, and of requests in bytes.

SQLite ignores a column's width and PostgreSQL refuses longer text, so both sides take the number from here. A migration
does not: it states the width of its day.
"""

from __future__ import annotations

MAX_SID_LENGTH = 34
MAX_EMAIL_LENGTH = 254  # RFC 5321, 4.5.3.1.3
MAX_STAFF_NAME_LENGTH = 120
MAX_TOKEN_NAME_LENGTH = 80
MAX_TOKEN_SCOPES_LENGTH = 1000
MAX_CLIENT_ADDRESS_LENGTH = 64  # of IPv6 with a zone

# Customers.
MAX_CUSTOMER_ID_LENGTH = 64
MAX_CUSTOMER_NAME_LENGTH = 200
MAX_REMOTE_ID_LENGTH = 128  # of a customer's record in a source
MAX_SOURCE_NAME_LENGTH = 32
MAX_IDENTIFIER_KIND_LENGTH = 40
MAX_IDENTIFIER_LENGTH = MAX_EMAIL_LENGTH
MAX_WORD_LENGTH = 40
MAX_NOTE_LENGTH = 10_000  # of a note in the store; the block shows less of it
MAX_CASE_ID_LENGTH = 64
MAX_CASE_SUBJECT_LENGTH = 300
MAX_CASE_STATUS_LENGTH = 40
# The text fields of a customer, in the order in which forms and files have them.
CUSTOMER_TEXT_LENGTHS = {
    "name": MAX_CUSTOMER_NAME_LENGTH,
    "company": 200,
    "tier": 40,
    "language": 35,  # a BCP 47 tag
    "owner": MAX_EMAIL_LENGTH,
}
CUSTOMER_TEXTS = tuple(CUSTOMER_TEXT_LENGTHS)

# Deliveries and tasks.
MAX_EVENT_TYPE_LENGTH = 64
MAX_CHANNEL_LENGTH = 64
MAX_WORKER_NAME_LENGTH = 120
MAX_QUEUE_NAME_LENGTH = 200
MAX_TASK_OUTCOME_LENGTH = 200
MAX_COMPLETION_REASON_LENGTH = 200

# Requests, in bytes. The longest callback has two attribute texts of 4,096 emoji, which are 98 kB as a form. The limits
# of the proxy are the same (docs/operations/nginx.conf).
MAX_FORM_BYTES = 131_072
MAX_STREAM_BYTES = 1_000_000
MAX_PAGE_REQUEST_BYTES = 1_000_000
# Of a thousand customers that a source sends.
MAX_INTAKE_BYTES = 4_000_000
# Of a page's form before anybody has signed in: e-mail, password and token.
MAX_SIGN_IN_BYTES = 8_192
