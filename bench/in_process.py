"""Costs that must not grow with the tables, in one process: a look-up, and the page that staff open first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from app import create_app
from bench import large
from bench.figures import Figure, Line, noise
from bench.serving import postgresql_server
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.matches import LookupKey, LookupKeys, Trust
from enrich.settings import read_settings

# The small database has a thousandth of the rows, but never fewer than fill a page.
SIZE_RATIO, MIN_ROWS = 1000, 100
_LOOK_UPS, _PAGES = 300, 15
_EMAIL, _PASSWORD = "dana@example.com", "correct horse battery"

Ask = Callable[[], None]


def measure(name: str, kind: str, number: int, cache: Path, folder: Path, rounds: int) -> Iterator[Figure]:
    """The figure of `lookup` (at `number` identifiers) or `page` (at a tenth as many journal rows).

    cache: where the large database is kept; folder: for the small one.
    """
    what, prepare, times = _ASKED[name]
    number = number if what == "identifiers" else number // 10
    fewer = max(number // SIZE_RATIO, MIN_ROWS)
    with ExitStack() as stack:
        asks = []
        for count, where in ((number, cache), (fewer, folder)):
            server = stack.enter_context(postgresql_server(where / "postgresql")) if kind == "postgresql" else None
            database = stack.enter_context(closing(large.kept(what, count, kind, where, server)))
            asks.append(prepare(database, count))
        for ask in asks:
            _median_s(ask, times)
        taken = [tuple(_median_s(ask, times) for ask in asks) for _ in range(rounds)]
    yield Figure(
        Line(_TOLD[name], kind, f"{number:,} {what} against {fewer:,}", (1.5,)),
        tuple(at_large / at_small for at_large, at_small in taken),
        at_least=False,
        noise=noise([at_small for _, at_small in taken]),
        raw=taken,
    )


def _look_up(database: Database, number: int) -> Ask:
    """Finds a customer picked at random by phone and e-mail, and fetches what the block tells."""
    store = CustomerStore(database)
    pick = random.Random(7)

    def ask() -> None:
        phone, email = large.customer_of(pick.randrange(number // 2))
        keys = LookupKeys(
            (
                LookupKey("phone", phone, Trust.VERIFIED, "from"),
                LookupKey("email", email, Trust.VERIFIED, "email"),
            )
        )
        found = store.look_up(keys)
        assert len(found.candidates) == 2
        assert found.customer is not None

    return ask


def _first_page(database: Database, _number: int) -> Ask:
    """Opens `/` as somebody who is signed in."""
    users.add(database, email=_EMAIL, role=Role.EDITOR, password=_PASSWORD)
    app = create_app(
        read_settings(
            {
                "SECRET_KEY": "not-a-real-key-for-tests",
                "PUBLIC_URL": "http://127.0.0.1",
                "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
                "TWILIO_AUTH_TOKEN": "not-a-real-token",
                "DATABASE_URL": database.url.render_as_string(hide_password=False),
            }
        )
    )
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.post("/login", data={"email": _EMAIL, "password": _PASSWORD})

    def ask() -> None:
        page = browser.get("/")
        assert page.status_code == 200
        assert b"Ada Lovelace" in page.data

    return ask


_ASKED: dict[str, tuple[str, Callable[[Database, int], Ask], int]] = {
    "lookup": ("identifiers", _look_up, _LOOK_UPS),
    "page": ("entries", _first_page, _PAGES),
}
_TOLD = {"lookup": "look-up", "page": "first page"}


def _median_s(ask: Ask, times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return median(taken)
