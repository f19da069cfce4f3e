"""Which tests run, and where their fixtures come from."""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.support.browser import needs_chromium as needs_chromium  # of the emulator's tests

pytest_plugins = ["tests.support.fixtures", "tests.support.journal"]

# The same examples in every run, so that a change is blamed for what it broke and for nothing else. To look for more:
# HYPOTHESIS_PROFILE=search .venv/bin/pytest tests/taskrouter
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Which tests run: `sqlite` leaves out those that need PostgreSQL, `postgresql` leaves out all others. Together they are
# the whole suite, which runs when nothing is set.
TEST_DATABASE = os.environ.get("ENRICH_TEST_DATABASE", "")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: uses a PostgreSQL server of its own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what ENRICH_TEST_DATABASE leaves out."""
    if not TEST_DATABASE:
        return
    if TEST_DATABASE not in ("sqlite", "postgresql"):
        raise pytest.UsageError(f"ENRICH_TEST_DATABASE: {TEST_DATABASE!r} is neither sqlite nor postgresql")
    wants_postgresql = TEST_DATABASE == "postgresql"
    left_out = [item for item in items if _needs_postgresql(item) != wants_postgresql]
    items[:] = [item for item in items if _needs_postgresql(item) == wants_postgresql]
    config.hook.pytest_deselected(items=left_out)


def _needs_postgresql(item: pytest.Item) -> bool:
    """Return whether this test, or this variant of a test, uses a PostgreSQL server."""
    if "postgresql" in getattr(item, "fixturenames", ()) or item.get_closest_marker("postgresql"):
        return True
    variant = getattr(item, "callspec", None)
    return variant is not None and any(value == "postgresql" for value in variant.params.values() if type(value) is str)
