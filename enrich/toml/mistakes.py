"""The mistakes of one TOML file, each with its line and its place. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from enrich.toml.lines import Path, lines_of, nearest


@dataclass
class Mistakes:
    """The mistakes of one file, each with its line.

    lines: as `lines_of` returns them.
    """

    lines: Mapping[Path, int]
    messages: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of_text(cls, text: str) -> Mistakes:
        """Return no mistakes yet, of this text, which must be valid TOML."""
        return cls(lines_of(text))

    def add(self, path: Path, message: str) -> None:
        line = nearest(self.lines, path)
        place = _place(path)
        self.messages.append((line or 0, f"line {line}, {place}: {message}" if line else f"{place}: {message}"))

    def __str__(self) -> str:
        """Return one line for each mistake, in the order of the file; "" without any."""
        return "\n".join(message for _, message in sorted(self.messages))


def unknown_key(key: str, known_keys: Collection[str]) -> str:
    """Return the message for a key that the table does not have."""
    similar = difflib.get_close_matches(key, known_keys, 1)
    hint = f"did you mean {similar[0]}?" if similar else f"there are: {', '.join(sorted(known_keys))}"
    return f"there is no such key; {hint}"


def _place(path: Path) -> str:
    """Return the path as people count: `("queues", 1, "order")` is "queues 2, order"."""
    keys: list[str] = []
    for part in path:
        if isinstance(part, int):
            keys[-1] += f" {part + 1}"
        else:
            keys.append(part)
    return ", ".join(keys) or "the file"
