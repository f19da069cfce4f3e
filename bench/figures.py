"""Rounds in, ratios out; the table that is printed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from statistics import median
from typing import Any, Self

HEAD = ("part", "database", "against", "median", "lowest - highest", "wanted", "", "noise", "")


@dataclass(frozen=True, slots=True)
class Load:
    """One round of load on one server. processor_s: of its processes, for one request; None where that is not known."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    processor_s: float | None = None

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of both sides, turn by turn. answered: by us, the round that warmed up included."""

    ours: Sequence[Load]
    theirs: Sequence[Load]
    answered: int

    def each(self, compare: Callable[[Load, Load], float]) -> tuple[float, ...]:
        """Return the comparison of our side with theirs, round by round."""
        return tuple(compare(ours, theirs) for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def raw(self) -> dict[str, Any]:
        return {"ours": [asdict(load) for load in self.ours], "theirs": [asdict(load) for load in self.theirs]}


@dataclass(frozen=True, slots=True)
class Line:
    """The subject of a figure. wanted: the numbers that it should reach, the last one the goal."""

    part: str
    database: str
    against: str
    wanted: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a plot of growth with the work, for the service and its yardstick."""

    curve: str
    in_flight: int
    ours: float
    theirs: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    rounds: the values, round by round. unit: `x` for ratios, `ms` for differences, `MB` for memory.
    at_least: whether more is better. noise: how far the yardstick's own rounds lay apart, as a part of their median.
    note: beside the figure, such as the ratio of processor time. raw: what the values were made of.
    point: of a plot, if it has one.
    """

    line: Line
    rounds: tuple[float, ...]
    unit: str = "x"
    at_least: bool = True
    noise: float | None = None
    note: str = ""
    raw: Any = None
    point: Point | None = None

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def reached(self) -> bool | None:
        """True if the goal is reached; None if none was set."""
        if not self.line.wanted:
            return None
        return self.median >= self.line.wanted[-1] if self.at_least else self.median <= self.line.wanted[-1]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"median": self.median, "reached": self.reached}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Return the figure that `as_json` wrote."""
        fields = {each.name: written[each.name] for each in dataclass_fields(cls)}
        line, point = fields["line"], fields["point"]
        return cls(
            **fields
            | {
                "line": Line(**line | {"wanted": tuple(line["wanted"])}),
                "rounds": tuple(fields["rounds"]),
                "point": Point(**point) if point else None,
            }
        )


def throughput(line: Line, measured: Measured) -> Figure:
    """Requests a second, ours against theirs; the note has the same of the processor time that one request takes."""
    note = ""
    if all(load.processor_s for load in (*measured.ours, *measured.theirs)):
        share = median(measured.each(lambda ours, theirs: (theirs.processor_s or 0) / (ours.processor_s or 1)))
        note = f"by processor time {share:.2f} x"
    return Figure(
        line,
        measured.each(lambda ours, theirs: ours.per_second / theirs.per_second),
        noise=noise([load.per_second for load in measured.theirs]),
        note=note,
        raw=measured.raw,
    )


def added_p99(line: Line, measured: Measured) -> Figure:
    """Milliseconds that our 99th percentile lies above theirs."""
    return Figure(
        line,
        measured.each(lambda ours, theirs: ours.p99_ms - theirs.p99_ms),
        unit="ms",
        at_least=False,
        noise=noise([load.p99_ms for load in measured.theirs]),
        raw=measured.raw,
    )


def noise(values: Sequence[float]) -> float:
    """Return the range of the values as a fraction of their median."""
    return (max(values) - min(values)) / median(values)


def table(figures: Sequence[Figure]) -> str:
    """The figures as text, one a line."""
    lines = [HEAD, *(cells(figure) for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    shown = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    first, *rest = shown
    return "\n".join((first, "-" * max(map(len, (first, *rest))), *rest))


def cells(figure: Figure) -> tuple[str, ...]:
    """Return the line of a table for the figure, below `HEAD`."""
    sign = "≥" if figure.at_least else "≤"
    return (
        figure.line.part,
        figure.line.database,
        figure.line.against,
        _shown(figure.median, figure.unit),
        f"{_shown(min(figure.rounds))} - {_shown(max(figure.rounds))}",
        ", then ".join(f"{sign} {wanted:g}" for wanted in figure.line.wanted),
        {True: "reached", False: "not yet", None: ""}[figure.reached],
        "" if figure.noise is None else f"±{figure.noise / 2:.0%}",
        figure.note,
    )


def _shown(value: float, unit: str = "") -> str:
    digits = f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    return f"{digits} {unit}".rstrip()
