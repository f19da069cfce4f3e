"""Checks of the settings by recent tasks: correct ones, and each mistake."""

from __future__ import annotations

import pytest

from enrich.diagnosis import tasks
from enrich.diagnosis.tasks import Kinds, Lengths
from enrich.domain.findings import Level
from tests.support.diagnosis import OK, PROBLEM, WARNING, expect


@pytest.mark.parametrize(
    ("default", "kinds", "level", "told"),
    [
        ("auto", Kinds(100, 50, 50), OK, "50 of them calls"),
        ("defer", Kinds(100, 50, 50), OK, ""),
        ("accept", Kinds(0, 0, 0), OK, "no task seen yet"),
        ("accept", Kinds(100, 0, 0), OK, "suits"),
        ("accept", Kinds(100, 3, 0), PROBLEM, "hold music"),
        ("accept", Kinds(100, 0, 3), PROBLEM, "Flex"),
        ("dequeue", Kinds(100, 3, 0), OK, ""),
        ("dequeue", Kinds(100, 3, 3), PROBLEM, "Flex"),
    ],
)
def test_default_instruction(default: str, kinds: Kinds, level: Level, told: str) -> None:
    expect(tasks.instruction(default, "callback", kinds), "instruction", level, told)


@pytest.mark.parametrize(
    ("restored", "left", "on", "level", "told"),
    [
        (0, 0, 0, OK, "no other program"),
        (4, 0, 3, WARNING, "overwritten 4 times, on 3 tasks, and put back"),
        (3, 1, 1, PROBLEM, "overwritten 4 times, on 1 tasks; on 1 of them it was left"),
    ],
)
def test_overwritten(restored: int, left: int, on: int, level: Level, told: str) -> None:
    expect(tasks.overwritten(restored, left, on), "overwritten", level, told)


@pytest.mark.parametrize(
    ("lengths", "level", "told"),
    [
        (Lengths(0), OK, "no task"),
        (Lengths(10, 900, 800), OK, "900 of 4,096"),
        (Lengths(100, 4000, 3800), WARNING, "more than 3,800"),
        (Lengths(10, 4096, 800, trimmed=1), WARNING, "had to shrink"),
        (Lengths(10, 4096, 800, no_room=2), PROBLEM, "2 times there was no room"),
    ],
)
def test_headroom(lengths: Lengths, level: Level, told: str) -> None:
    expect(tasks.headroom(lengths), "headroom", level, told)
