"""The service with a mistake in it: its look-up fails in words that quote whom it was looking for."""

from __future__ import annotations

from typing import Any

from flask import Flask

import app
from enrich.customers.store import CustomerStore
from enrich.domain.matches import LookupKeys


def look_up(self: CustomerStore, keys: LookupKeys) -> Any:
    raise ValueError(f"could not look for {keys}")


def create_app() -> Flask:
    CustomerStore.look_up = look_up  # type: ignore[method-assign]  # that is the mistake
    return app.create_app()
