"""The progress of a long load: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

# Shorter loads are over before anybody reads it.
MIN_ROWS = 1000
INTERVAL_S = 10.0
# Files that have one row a line, but for line breaks in cells.
_ROW_A_LINE = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".tab", ".txt"})

Progress = Callable[[int], None]


@contextmanager
def progress_of(path: Path, rows_done: int = 0) -> Iterator[Progress]:
    """Yield what is called with the number of rows read so far, and shows it on standard error.

    rows_done: so many were read before this load.
    """
    rows = count_rows(path)
    if rows is None or rows < MIN_ROWS or not sys.stderr.isatty():
        lines = ProgressLines(path.name, rows, rows_done, time.monotonic, lambda line: click.echo(line, err=True))
        yield lines.show
        return
    with click.progressbar(length=rows, label=path.name, show_pos=True, show_eta=True, file=sys.stderr) as bar:
        bar.update(rows_done)
        yield lambda rows_read: bar.update(rows_read - bar.pos)


def count_rows(path: Path) -> int | None:
    """Return about how many rows the file has; None if that takes reading it as a whole."""
    if path.suffix.lower() not in _ROW_A_LINE:
        return None
    with path.open("rb") as file:
        return None if file.read(2) == b"PK" else sum(1 for _ in file)


class ProgressLines:
    """Writes how far a load is, how fast, and how long it will take, at most every `INTERVAL_S` seconds.

    rows: of the file, None if unknown; rows_done: read before this load. clock: in seconds, from any point in time.
    """

    def __init__(
        self, name: str, rows: int | None, rows_done: int, clock: Callable[[], float], write: Callable[[str], None]
    ) -> None:
        self._name = name
        self._rows = rows
        self._rows_done = rows_done
        self._clock = clock
        self._write = write
        self._started = self._shown = clock()

    def show(self, rows_read: int) -> None:
        """Write a line, if it is time for one."""
        now = self._clock()
        if now - self._shown < INTERVAL_S:
            return
        self._shown = now
        rate = (rows_read - self._rows_done) / (now - self._started)
        of = f" of {self._rows:,}" if self._rows else ""
        line = f"{self._name}: {rows_read:,}{of} rows, {rate:,.0f} a second"
        if self._rows and rate > 0:
            line += f", {duration(max(0, self._rows - rows_read) / rate)} left"
        self._write(line)


def duration(seconds: float) -> str:
    """Return a duration in words: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
