"""Accounts, decided by an admin on the page."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD

SAM = "sam@example.com"
OTHER = "another long password"


def user(database: Database, email: str) -> User:
    found = users.find(database, email)
    assert found
    return found


@pytest.fixture
def admin(browser: FlaskClient, database: Database) -> FlaskClient:
    """Dana is an admin, and Sam a viewer whom she looks after."""
    users.set_role(database, EMAIL, Role.ADMIN)
    users.add(database, email=SAM, role=Role.VIEWER, password=PASSWORD)
    return browser


def change(client: FlaskClient, database: Database, email: str, what: str, **form: str) -> str:
    """Return the page after this change of an account."""
    path = f"/staff/{user(database, email).id}/{what}"
    return client.post(path, data=form, follow_redirects=True).text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_it_is_for_admins_alone(browser: FlaskClient, database: Database, role: Role) -> None:
    users.set_role(database, EMAIL, role)
    assert browser.get("/staff").status_code == 403
    assert browser.post("/staff", data={"email": SAM}).status_code == 403
    assert browser.post("/staff/1/role", data={"role": "admin"}).status_code == 403
    assert user(database, EMAIL).role is role
    assert ">Staff<" not in browser.get("/").text


def test_every_account_is_listed(admin: FlaskClient) -> None:
    page = admin.get("/staff").text
    assert EMAIL in page
    assert SAM in page
    assert ">Staff<" in page


def test_an_account_is_added_and_can_sign_in(admin: FlaskClient, app: Flask, database: Database) -> None:
    new = {"email": " Kim@Example.com ", "name": "Kim", "role": "editor", "password": OTHER}
    page = admin.post("/staff", data=new, follow_redirects=True).text
    assert "kim@example.com can sign in as editor" in page
    assert user(database, "kim@example.com").role is Role.EDITOR
    signed_in = app.test_client().post("/login", data={"email": "kim@example.com", "password": OTHER})
    assert signed_in.status_code == 302
    assert OTHER not in page


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"email": "nobody"}, "valid e-mail address"),
        ({"email": SAM}, "already"),
        ({"name": "a\u202eb"}, "unprintable characters"),
        ({"name": "x" * 121}, "at most 120"),
        ({"role": "owner"}, "Choose a role"),
        ({"password": "short"}, "at least 12 characters"),
        ({"password": "x" * 1025}, "at most 1024 characters"),
        ({"password": "1qaz2wsx3edc"}, "among the most common"),
        ({"password": "kim@example.com!"}, "mostly a name"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_told_beside_the_field_and_nothing_is_made(
    admin: FlaskClient, database: Database, wrong: dict[str, str], told: str
) -> None:
    new = {"email": "kim@example.com", "name": "Kim", "role": "editor", "password": OTHER} | wrong
    response = admin.post("/staff", data=new)
    (field,) = wrong
    assert response.status_code == 422
    assert told in response.text.partition(f'id="{field}-problem"')[2].partition("</div>")[0]
    assert len(users.list_all(database)) == 2


def test_a_role_is_changed(admin: FlaskClient, database: Database) -> None:
    assert f"{SAM} now has the role editor" in change(admin, database, SAM, "role", role="editor")
    assert user(database, SAM).role is Role.EDITOR


def test_a_role_that_is_none_changes_nothing(admin: FlaskClient, database: Database) -> None:
    assert admin.post(f"/staff/{user(database, SAM).id}/role", data={"role": "owner"}).status_code == 400
    assert user(database, SAM).role is Role.VIEWER


def test_a_value_that_is_refused_is_not_called_an_expired_form(admin: FlaskClient, database: Database) -> None:
    address = f"/staff/{user(database, SAM).id}/role"
    page = admin.post(address, data={"role": "owner"}, headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert "Bad request" in page.text
    assert "expired" not in page.text


def test_an_account_is_disabled_and_enabled(admin: FlaskClient, database: Database) -> None:
    assert "cannot sign in" in change(admin, database, SAM, "disable")
    assert not user(database, SAM).active
    assert "can sign in again" in change(admin, database, SAM, "enable")
    assert user(database, SAM).active


@pytest.mark.parametrize(("what", "form"), [("role", {"role": "viewer"}), ("disable", {})])
def test_an_admin_does_not_lock_themselves_out(
    admin: FlaskClient, database: Database, what: str, form: dict[str, str]
) -> None:
    assert "cannot change your own account" in change(admin, database, EMAIL, what, **form)
    dana = user(database, EMAIL)
    assert (dana.role, dana.active) == (Role.ADMIN, True)


def test_a_new_password_ends_the_sessions(admin: FlaskClient, app: Flask, database: Database) -> None:
    sam = app.test_client()
    sam.post("/login", data={"email": SAM, "password": PASSWORD})
    assert sam.get("/").status_code == 200
    assert "at least 12 characters" in change(admin, database, SAM, "password", password="short")
    assert sam.get("/").status_code == 200
    assert "has a new password" in change(admin, database, SAM, "password", password=OTHER)
    assert sam.get("/").status_code == 302


def test_a_colleague_is_signed_out_and_may_sign_in_again(admin: FlaskClient, app: Flask, database: Database) -> None:
    browsers = [app.test_client() for _ in range(2)]
    for sam in browsers:
        sam.post("/login", data={"email": SAM, "password": PASSWORD})
        assert sam.get("/").status_code == 200
    assert f"{SAM} is signed out everywhere." in change(admin, database, SAM, "sign-out")
    for sam in browsers:
        assert sam.get("/").status_code == 302
    assert sam.post("/login", data={"email": SAM, "password": PASSWORD}).status_code == 302
    assert sam.get("/").status_code == 200
    assert admin.get("/").status_code == 200


def test_nobody_is_404(admin: FlaskClient) -> None:
    for what in ("role", "disable", "enable", "sign-out", "password"):
        assert admin.post(f"/staff/4711/{what}", data={"role": "viewer", "password": OTHER}).status_code == 404
