"""Findings: what was found, its level and, if it is not OK, its meaning and its fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Also the exit status of the doctor: that of its worst finding."""

    OK = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """check: a short name that stays. found: what is the case. meaning, todo: "" where all is well."""

    level: Level
    check: str
    found: str
    meaning: str = ""
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(Level.OK, check, found)


def warning(check: str, found: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.WARNING, check, found, meaning, todo)


def problem(check: str, found: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.PROBLEM, check, found, meaning, todo)


def not_examined(check: str, because: str) -> Finding:
    """For what depends on something that is itself wrong, and told so."""
    return warning(check, "could not be examined", because, "mend what is said above, and ask again")


def worst(findings: Sequence[Finding]) -> Level:
    return max((each.level for each in findings), default=Level.OK)
