"""The problems of a policy file, collected, so that one check names all of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (a table or a rule, as its writer knows it), the key ("" for the whole), and what to do."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.where}, {self.key}" if self.key else self.where
        return f"{place}: {self.message}"


@dataclass(slots=True)
class Problems:
    """The problems of one file. The reader of each part adds its own, and goes on with a default."""

    found: list[Problem] = field(default_factory=list)

    def add(self, where: str, key: str, message: str) -> None:
        self.found.append(Problem(where, key, message))
