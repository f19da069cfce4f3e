"""Findings of the doctor and of the check of a source: an observation, its level and, unless it is OK, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """The severity of a finding. The doctor's exit status is that of its worst finding."""

    OK = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. check: its permanent name. found: the observation. meaning, todo: "" if it is OK."""

    level: Level
    check: str
    found: str
    meaning: str = ""
    todo: str = ""


def ok(check: str, observation: str) -> Finding:
    return Finding(Level.OK, check, observation)


def warning(check: str, observation: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.WARNING, check, observation, meaning, todo)


def problem(check: str, observation: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.PROBLEM, check, observation, meaning, todo)


def not_examined(check: str, because: str) -> Finding:
    """Return the finding for a check that depends on something that another finding reports as wrong."""
    return warning(check, "could not be examined", because, "fix the problem reported above, and run the doctor again")


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)
