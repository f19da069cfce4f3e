"""The overview: matches, outcomes, response times, errors and pending follow-ups over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import TROUBLE_OUTCOMES, EntryKind, Outcome
from enrich.journal import rollups
from enrich.journal.followups import Figures
from enrich.journal.rollups import Rollup, RollupReport
from enrich.pages import charts
from enrich.pages import labels as pages_labels
from enrich.pages.charts import Series
from enrich.pages.sessions import require_sign_in
from enrich.services import current_services

bp = Blueprint("overview", __name__)
bp.before_request(require_sign_in)


@dataclass(frozen=True, slots=True)
class Range:
    """The range of an overview: a number of spans of one length, up to now. told: one span, in words."""

    name: str
    label: str
    span_s: int
    spans: int
    told: str


RANGES = (
    Range("hour", "Last hour", rollups.MINUTE_S, 60, "a minute"),
    Range("day", "Last day", rollups.QUARTER_S, 96, "a quarter of an hour"),
    Range("week", "Last week", rollups.HOURS_S, 84, "two hours"),
)

_CALLBACKS = (EntryKind.ASSIGNMENT, EntryKind.FALLBACK)

# How callbacks can end, from the ground up: a name, the class that colours it, and which rows count.
Which = Callable[[Rollup], bool]
ENDINGS: tuple[tuple[str, str, Which], ...] = (
    ("matched", "s-good", lambda row: _enriched(row, MatchKind.MATCHED)),
    ("ambiguous", "s-ask", lambda row: _enriched(row, MatchKind.AMBIGUOUS)),
    ("claimed", "s-claimed", lambda row: _enriched(row, MatchKind.CLAIMED)),
    ("no match", "s-quiet", lambda row: _enriched(row, MatchKind.NONE)),
    ("answered without look-up", "s-owed", lambda row: row.outcome in (Outcome.NOT_TRIED, Outcome.GONE)),
    ("went wrong", "s-bad", lambda row: row.outcome in TROUBLE_OUTCOMES),
    ("in progress", "s-busy", lambda row: not row.outcome),
)
# The reasons that are told apart over time, the most frequent ones; the others stand together.
REASON_COLOURS = ("s-bad", "s-ask", "s-claimed", "s-owed")
OTHER_REASONS = ("others", "s-quiet")
PERCENTILES = (("half", "s-half", 0.5), ("95 %", "s-most", 0.95), ("99 %", "s-all", 0.99))


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """One reason why something went wrong. count: how often. outcome: the word for how that ended."""

    outcome: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the page shows. matched_part, in_time_part: of 1, None where there is nothing to take a part of.

    highest, slowest_ms, worst, most_owed: where the axes of the charts end. late: how many were enriched after their
    callback. troubles: what went wrong, by reason, callbacks and late work. owed: follow-ups, on average of the span.
    """

    range: Range
    moments: tuple[datetime, ...]
    callbacks: int
    matched_part: float | None
    in_time_part: float | None
    late: int
    endings: tuple[Series, ...]
    highest: float
    times: tuple[Series, ...]
    slowest_ms: float
    overall_ms: tuple[tuple[str, float | None], ...]
    reasons: tuple[ReasonCount, ...]
    troubles: tuple[Series, ...]
    worst: float
    owed: Series
    most_owed: float
    is_whole: bool


@bp.get("/overview")
def index() -> ResponseReturnValue:
    """The overview of the last hour, day or week (`of`)."""
    asked = next((each for each in RANGES if each.name == request.args.get("of")), RANGES[1])
    now = datetime.now(UTC)
    here = current_services()
    seen = overview(
        asked, here.rollups.between(first_moment(asked, now), now, asked.span_s), now, here.settings.budget_s
    )
    labels = [_utc(moment, asked) for moment in seen.moments]
    deadline_ms = here.settings.budget_s * 1000
    figures: Figures = here.adapters.followups.figures(now)
    return render_template(
        "overview/index.html",
        seen=seen,
        ranges=RANGES,
        labels=labels,
        ticks=_ticks(seen.moments, now),
        endings_chart=_markup(charts.stacked(seen.endings, labels, title=f"Callbacks by outcome: {_sum(seen)}")),
        times_chart=_markup(
            charts.lines(seen.times, labels, limit=deadline_ms, title="Response time in milliseconds, and the deadline")
        ),
        rows_with=[any(column) for column in _columns(seen.endings)],
        troubles_chart=_markup(charts.stacked(seen.troubles, labels, title="Errors, by reason")),
        troubled=[any(column) for column in _columns(seen.troubles)],
        owed_chart=_markup(charts.lines((seen.owed,), labels, limit=None, title="Pending follow-ups")),
        bar=lambda value, highest: _markup(charts.bar(value, highest, "s-bad")),
        deadline_ms=deadline_ms,
        figures=figures,
        alarms=here.adapters.task_states.alarms(now),
        now=now,
    )


def first_moment(asked: Range, now: datetime) -> datetime:
    """Return the beginning of the range, whose last span is the present one."""
    return rollups.begin(now, asked.span_s) - timedelta(seconds=asked.span_s * (asked.spans - 1))


def overview(asked: Range, numbers: RollupReport, now: datetime, budget_s: float) -> Overview:
    """The numbers as the page shows them."""
    since = first_moment(asked, now)
    moments = tuple(since + timedelta(seconds=asked.span_s * number) for number in range(asked.spans))
    place = {moment: number for number, moment in enumerate(moments)}
    rows = [row for row in numbers.rows if row.began_at in place]
    callbacks = [row for row in rows if row.kind in _CALLBACKS]
    endings = tuple(Series(name, css, _per_span(callbacks, which, place)) for name, css, which in ENDINGS)
    looked = [row for row in callbacks if row.match]
    times = _times_per_span(callbacks, place)
    curves = tuple(
        Series(name, css, tuple(rollups.percentile(each, part) for each in times)) for name, css, part in PERCENTILES
    )
    whole: Counter[int] = sum(times, Counter())
    highest_ms = max((value for each in curves for value in each.values if value is not None), default=0.0)
    budget_bucket = rollups.bucket_of(budget_s * 1000)
    timed = sum(whole.values())
    troubles = _troubles(rows, place)
    owed = _owed(rows, place)
    return Overview(
        range=asked,
        moments=moments,
        callbacks=_number(callbacks),
        matched_part=_part(_number(row for row in looked if row.match == MatchKind.MATCHED), _number(looked)),
        in_time_part=_part(sum(number for step, number in whole.items() if step <= budget_bucket), timed),
        late=_number(row for row in rows if row.kind == EntryKind.LATE and row.outcome == Outcome.ENRICHED),
        endings=endings,
        highest=charts.top_of(max((sum(value or 0 for value in column) for column in _columns(endings)), default=0)),
        times=curves,
        slowest_ms=charts.top_of(max(highest_ms, budget_s * 1000)),
        overall_ms=tuple((name, rollups.percentile(whole, part)) for name, _, part in PERCENTILES),
        reasons=_reasons(rows),
        troubles=troubles,
        worst=charts.top_of(max((sum(value or 0 for value in column) for column in _columns(troubles)), default=0)),
        owed=owed,
        most_owed=charts.top_of(max((value for value in owed.values if value is not None), default=0)),
        is_whole=numbers.is_whole,
    )


def _reasons(rows: Iterable[Rollup]) -> tuple[ReasonCount, ...]:
    """Why things went wrong, most often first; of callbacks and of what was done late."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.outcome in TROUBLE_OUTCOMES:
            counts[row.outcome, row.reason] += row.count.number
    return tuple(
        ReasonCount(
            pages_labels.OUTCOMES[Outcome(outcome)].word, pages_labels.short_reason(reason) or "no reason given", count
        )
        for (outcome, reason), count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )


def _troubles(rows: Iterable[Rollup], place: dict[datetime, int]) -> tuple[Series, ...]:
    """Return the errors over time, the most frequent reason first."""
    wrong = [row for row in rows if row.outcome in TROUBLE_OUTCOMES]
    counts: Counter[str] = Counter()
    for row in wrong:
        counts[row.reason] += row.count.number
    told_apart = [reason for reason, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    told_apart = told_apart[: len(REASON_COLOURS)]

    def of(reason: str) -> Which:
        return lambda row: row.reason == reason

    series = [
        Series(pages_labels.short_reason(reason) or "no reason given", css, _per_span(wrong, of(reason), place))
        for reason, css in zip(told_apart, REASON_COLOURS, strict=False)
    ]
    if len(counts) > len(told_apart):
        series.append(Series(*OTHER_REASONS, _per_span(wrong, lambda row: row.reason not in told_apart, place)))
    return tuple(series)


def _owed(rows: Iterable[Rollup], place: dict[datetime, int]) -> Series:
    """Return the average number of pending follow-ups in each span; None where no worker sampled it."""
    found: list[float | None] = [None] * len(place)
    for row in rows:
        if row.kind == rollups.OPEN_FOLLOWUPS:
            found[place[row.began_at]] = row.count.number / max(1, sum(row.count.times.values()))
    return Series("pending", "s-most", tuple(found))


def _columns(series: tuple[Series, ...]) -> list[tuple[float | None, ...]]:
    """Return the values of all series, span by span."""
    return list(zip(*(each.values for each in series), strict=True))


def _enriched(row: Rollup, match: MatchKind) -> bool:
    return row.outcome == Outcome.ENRICHED and row.match == match


def _per_span(rows: Iterable[Rollup], which: Which, place: dict[datetime, int]) -> tuple[float, ...]:
    numbers = [0.0] * len(place)
    for row in rows:
        if which(row):
            numbers[place[row.began_at]] += row.count.number
    return tuple(numbers)


def _times_per_span(rows: Iterable[Rollup], place: dict[datetime, int]) -> list[Counter[int]]:
    times: list[Counter[int]] = [Counter() for _ in place]
    for row in rows:
        times[place[row.began_at]].update(row.count.times)
    return times


def _number(rows: Iterable[Rollup]) -> int:
    return sum(row.count.number for row in rows)


def _part(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ticks(moments: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    """Five moments to stand under the charts, the last of them now."""
    return (*(moments[len(moments) * number // 4] for number in range(4)), now)


def _utc(moment: datetime, asked: Range) -> str:
    return f"{moment:%a %H:%M} UTC" if asked.name == "week" else f"{moment:%H:%M} UTC"


def _sum(seen: Overview) -> str:
    told = [f"{sum(value or 0 for value in each.values):,.0f} {each.name}" for each in seen.endings]
    return ", ".join(told)


def _markup(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - charts.py has escaped it
