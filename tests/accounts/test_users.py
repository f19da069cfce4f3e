"""Accounts over the database."""

from __future__ import annotations

from functools import partial

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update

from enrich.accounts import users
from enrich.accounts.tables import Role, UserRow
from enrich.accounts.users import User
from enrich.database.engine import Database
from tests.support.app import PASSWORD
from tests.support.databases import meanwhile


def test_an_email_is_one_account_in_any_case_of_letters(database: Database, dana: User) -> None:
    assert users.find(database, " Dana@Example.COM ") == dana
    assert users.add(database, email="DANA@example.com", role=Role.ADMIN, password="another password") is None
    assert users.find(database, dana.email) == dana


def test_an_account_that_another_process_adds_meanwhile(database: Database, database_url: str) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time, from the question on")
    other = Database(database_url)
    add = partial(users.add, email="ada@example.com", role=Role.EDITOR, password=PASSWORD)
    meanwhile(database, "INSERT INTO users", lambda: add(other, name="first"))
    assert add(database, name="second") is None
    other.close()
    assert [user.name for user in users.list_all(database)] == ["first"]


def test_users_are_listed_by_email(database: Database, dana: User) -> None:
    users.add(database, email="ada@example.com", role=Role.ADMIN, password=PASSWORD)
    assert [user.email for user in users.list_all(database)] == ["ada@example.com", "dana@example.com"]


def test_only_the_right_password_signs_in(database: Database, dana: User) -> None:
    assert users.sign_in(database, "Dana@example.com", PASSWORD) == dana
    assert users.sign_in(database, dana.email, "wrong") is None
    assert users.sign_in(database, "nobody@example.com", PASSWORD) is None


def test_who_has_left_does_not_sign_in(database: Database, dana: User) -> None:
    database.write(update(UserRow).values(active=False))
    assert users.sign_in(database, dana.email, PASSWORD) is None


def test_a_new_password_replaces_the_old_one(database: Database, dana: User) -> None:
    changed = users.set_password(database, dana.email, "something else entirely")
    assert changed
    assert changed.password_mark != dana.password_mark
    assert users.sign_in(database, dana.email, PASSWORD) is None
    assert users.sign_in(database, dana.email, "something else entirely")


def test_an_outdated_hash_is_replaced_at_sign_in(database: Database, dana: User) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database.write(update(UserRow).values(password_hash=weak))
    signed_in = users.sign_in(database, dana.email, PASSWORD)
    assert signed_in
    assert signed_in.password_hash != weak
    assert users.sign_in(database, dana.email, PASSWORD) == signed_in


def test_a_hash_is_not_shown_with_its_user(dana: User) -> None:
    assert dana.password_hash not in repr(dana)
