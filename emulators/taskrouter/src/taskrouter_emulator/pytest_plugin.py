"""Pytest plugin: the fixture `taskrouter_emulator`.

Pytest imports this module in every run of an environment that has the emulator installed, so it imports nothing else:
neither Flask nor the emulator is loaded before a test asks for the fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from taskrouter_emulator.testing import EmulatedWorkspace


@pytest.fixture
def taskrouter_emulator_options() -> dict[str, Any]:
    """Keyword arguments for `EmulatorServer`; override this fixture to change them."""
    return {}


@pytest.fixture
def taskrouter_emulator(taskrouter_emulator_options: dict[str, Any]) -> "Iterator[EmulatedWorkspace]":
    """A TaskRouter emulator on a free port, with one workspace; stopped when the test ends."""
    from taskrouter_emulator.testing import EmulatedWorkspace  # noqa: PLC0415 - only runs that use it pay for it

    with EmulatedWorkspace.start(**taskrouter_emulator_options) as workspace:
        yield workspace
