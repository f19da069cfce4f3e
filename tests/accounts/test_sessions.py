"""Sessions over the database: begun, found by their token, listed, ended, pruned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from enrich.accounts import users
from enrich.accounts.sessions import IDLE_FOR, LASTS, NOTED_EVERY, Sessions, StaffSession
from enrich.accounts.tables import Role, SessionRow, UserRow
from enrich.accounts.users import User
from enrich.database.engine import Database
from tests.support.app import PASSWORD

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database)


@pytest.fixture
def sam(database: Database) -> User:
    user = users.add(database, email="sam@example.com", role=Role.ADMIN, password=PASSWORD)
    assert user
    return user


def ids(sessions: Sessions, user: User, now: datetime = NOW) -> list[int]:
    return [session.id for session in sessions.list_of(user, now)]


def test_a_session_is_found_by_its_token_alone(sessions: Sessions, dana: User, sam: User) -> None:
    session, token = sessions.begin(dana, "Firefox on Linux", NOW)
    other, other_token = sessions.begin(sam, "", NOW)
    assert sessions.find(token, NOW) == session == StaffSession(session.id, dana, "Firefox on Linux", NOW, NOW)
    assert sessions.find(other_token, NOW) == other
    for wrong in ("", "x", token[:-1], token + "x", "\0", "\ud800"):
        assert sessions.find(wrong, NOW) is None


@pytest.mark.parametrize(
    ("used_after", "later", "is_found"),
    [
        (None, IDLE_FOR - SECOND, True),
        (None, IDLE_FOR, False),
        (IDLE_FOR - SECOND, 2 * IDLE_FOR - 2 * SECOND, True),
        (IDLE_FOR - SECOND, 2 * IDLE_FOR - SECOND, False),
        (LASTS - SECOND, LASTS - SECOND, True),
        (LASTS - SECOND, LASTS, False),
    ],
)
def test_a_session_ends_when_it_is_idle_or_old(
    database: Database, sessions: Sessions, dana: User, used_after: timedelta | None, later: timedelta, is_found: bool
) -> None:
    session, token = sessions.begin(dana, "", NOW)
    if used_after:
        sessions.note_use(session, NOW + used_after)
    assert (sessions.find(token, NOW + later) is not None) is is_found
    assert ids(sessions, dana, NOW + later) == [session.id] * is_found
    assert sessions.prune(NOW + later) == (not is_found)
    assert len(database.read(select(SessionRow.id))) == is_found


def test_its_use_is_noted_once_a_minute(database: Database, sessions: Sessions, dana: User) -> None:
    session, _ = sessions.begin(dana, "", NOW)

    def noted(after: timedelta) -> timedelta:
        sessions.note_use(session, NOW + after)
        return timedelta(seconds=(database.read(select(SessionRow.seen_at))[0].seen_at - NOW).total_seconds())

    assert noted(NOTED_EVERY - SECOND) == timedelta(0)
    assert noted(NOTED_EVERY) == NOTED_EVERY
    assert noted(NOTED_EVERY + SECOND) == NOTED_EVERY, "another request of the same page, which read the row before"
    assert noted(2 * NOTED_EVERY) == 2 * NOTED_EVERY


def test_one_ends_and_the_others_go_on(sessions: Sessions, dana: User, sam: User) -> None:
    first, second, third = (sessions.begin(dana, "", NOW)[0].id for _ in range(3))
    others = sessions.begin(sam, "", NOW)[0].id
    assert sessions.end(dana.id, second)
    assert not sessions.end(dana.id, second)
    assert not sessions.end(dana.id, others), "it is somebody else's"
    assert ids(sessions, dana) == [third, first]
    assert sessions.end_all(dana.id, but=third) == 1
    assert ids(sessions, dana) == [third]
    assert sessions.end_all(dana.id) == 1
    assert ids(sessions, dana) == []
    assert ids(sessions, sam) == [others]


def test_a_new_password_and_disabling_end_all_of_them(
    database: Database, sessions: Sessions, dana: User, sam: User
) -> None:
    kept = sessions.begin(sam, "", NOW)[0].id
    sessions.begin(dana, "", NOW)
    users.set_role(database, dana.email, Role.EDITOR)
    assert len(ids(sessions, dana)) == 1
    users.set_password(database, dana.email, "something else entirely")
    assert database.read(select(SessionRow.id)) == [(kept,)]
    sessions.begin(dana, "", NOW)
    users.set_active(database, dana.email, active=False)
    assert database.read(select(SessionRow.id)) == [(kept,)]


def test_a_session_does_not_begin_with_a_password_that_was_changed_meanwhile(
    database: Database, sessions: Sessions, dana: User
) -> None:
    """Checking a password takes a while, in which it may be changed."""
    users.set_password(database, dana.email, "something else entirely")
    _, token = sessions.begin(dana, "", NOW)
    assert sessions.find(token, NOW) is None


def test_of_an_inactive_account_none_is_found(database: Database, sessions: Sessions, dana: User) -> None:
    _, token = sessions.begin(dana, "", NOW)
    database.write(update(UserRow).where(UserRow.id == dana.id).values(active=False))
    assert sessions.find(token, NOW) is None
