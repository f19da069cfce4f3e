"""Staff accounts and their passwords.

tables.py     one row per person
passwords.py  argon2 hashes, made where they do not hold the event loop
guessable.py  passwords that are guessed first
users.py      find, add, list, set a password, sign in: plain functions over the database
attempts.py   how often somebody may try to sign in
masking.py    personal data as those without the right to it see it
"""
