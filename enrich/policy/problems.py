"""Problems of a policy file, collected so that one run reports all of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. where: the table or rule. key: "" if it concerns the whole. message: the fix."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.where}, {self.key}" if self.key else self.where
        return f"{place}: {self.message}"


@dataclass(slots=True)
class Problems:
    """Problems of one file. Each reader adds its own, then continues with a default."""

    found: list[Problem] = field(default_factory=list)

    def add(self, where: str, key: str, message: str) -> None:
        self.found.append(Problem(where, key, message))
