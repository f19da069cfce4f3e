"""The selection of tests, their markers, and the plugins that hold their fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.support.fixtures", "tests.support.journal"]

# The same examples in every run, so that a change is blamed for what it broke and for nothing else. To look for more:
# HYPOTHESIS_PROFILE=search .venv/bin/pytest tests/taskrouter
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Which tests run: `sqlite` leaves out those that need PostgreSQL, `postgresql` leaves out all others. Together they are
# the whole suite, which runs when nothing is set.
SCENARIOS = Path(__file__).parent / "scenarios"
TEST_DATABASE = os.environ.get("ENRICH_TEST_DATABASE", "")


# The fixtures that tell what a test needs; asked for by another fixture counts, too.
DATABASE_FIXTURES = {"database", "database_url", "sqlite_database", "sqlite_template", "postgresql"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test by its folder and its fixtures, and deselect what ENRICH_TEST_DATABASE leaves out."""
    for item in items:
        item.add_marker(_kind_of(item))
    if not TEST_DATABASE:
        return
    if TEST_DATABASE not in ("sqlite", "postgresql"):
        raise pytest.UsageError(f"ENRICH_TEST_DATABASE: {TEST_DATABASE!r} is neither sqlite nor postgresql")
    wants_postgresql = TEST_DATABASE == "postgresql"
    left_out = [item for item in items if _needs_postgresql(item) != wants_postgresql]
    items[:] = [item for item in items if _needs_postgresql(item) == wants_postgresql]
    config.hook.pytest_deselected(items=left_out)


def _kind_of(item: pytest.Item) -> str:
    """Return the marker of what a test needs; the dearest, so that `unit` needs nothing but this process."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if "chromium" in fixtures:
        return "browser"
    if item.path.is_relative_to(SCENARIOS) or item.get_closest_marker("scenario"):
        return "scenario"
    if fixtures & DATABASE_FIXTURES or item.get_closest_marker("postgresql") or item.get_closest_marker("database"):
        return "database"
    return "unit"


def _needs_postgresql(item: pytest.Item) -> bool:
    """Return whether this test, or this variant of a test, uses a PostgreSQL server."""
    if "postgresql" in getattr(item, "fixturenames", ()) or item.get_closest_marker("postgresql"):
        return True
    variant = getattr(item, "callspec", None)
    return variant is not None and any(value == "postgresql" for value in variant.params.values() if type(value) is str)
