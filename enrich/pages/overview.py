"""The overview: matches, outcomes, response times, errors and pending follow-ups over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import TROUBLE_OUTCOMES, EntryKind, Outcome
from enrich.journal import rollups
from enrich.journal.followups import Figures
from enrich.journal.rollups import Rollup, RollupReport
from enrich.pages import charts, label_texts, labels
from enrich.pages.charts import Series
from enrich.pages.sessions import require_sign_in
from enrich.services import current_services

bp = Blueprint("overview", __name__)
bp.before_request(require_sign_in)


@dataclass(frozen=True, slots=True)
class Range:
    """The range of an overview: a number of spans of one length, up to now.

    span_label: one span, in words. feed_time: the feed's `time` for this range.
    """

    name: str
    label: str
    span_s: int
    spans: int
    span_label: str
    feed_time: str


RANGES = (
    Range("hour", "Last hour", rollups.MINUTE_S, 60, "a minute", "1h"),
    Range("day", "Last day", rollups.QUARTER_S, 96, "a quarter of an hour", "24h"),
    Range("week", "Last week", rollups.HOURS_S, 84, "two hours", "7d"),
)

_CALLBACKS = (EntryKind.ASSIGNMENT, EntryKind.FALLBACK)

# How callbacks can end, from the ground up: a name, the class that colours it, and which rows count.
Which = Callable[[Rollup], bool]
ENDINGS: tuple[tuple[str, str, Which], ...] = (
    ("matched", "s-good", lambda row: _enriched(row, MatchKind.MATCHED)),
    ("ambiguous", "s-ask", lambda row: _enriched(row, MatchKind.AMBIGUOUS)),
    ("claimed", "s-claimed", lambda row: _enriched(row, MatchKind.CLAIMED)),
    ("no match", "s-quiet", lambda row: _enriched(row, MatchKind.NONE)),
    ("no look-up", "s-pending", lambda row: row.outcome in (Outcome.NOT_TRIED, Outcome.GONE)),
    ("failed", "s-bad", lambda row: row.outcome in TROUBLE_OUTCOMES),
    ("in progress", "s-busy", lambda row: not row.outcome),
)
# Colours of the most frequent reasons; all others share one.
REASON_COLOURS = ("s-bad", "s-ask", "s-claimed", "s-pending")
# Endings that a newer version has written, and this one does not know.
OTHER_ENDINGS = ("other", "s-other")
OTHER_REASONS = ("other", "s-quiet")
PERCENTILES = (("50 %", "s-half", 0.5), ("95 %", "s-most", 0.95), ("99 %", "s-all", 0.99))


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """One reason of errors. outcome: its label. ending: its outcome, as the feed is filtered by. count: how often."""

    outcome: str
    ending: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of the page. matched_part, in_time_part: of 1, None where there is nothing to take a part of.

    highest, slowest_ms, max_errors, max_pending: ends of the axes. late: number of tasks enriched after their callback.
    errors: by reason, of callbacks and late work. pending: follow-ups, on average of the span.
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
    errors: tuple[Series, ...]
    max_errors: float
    pending: Series
    max_pending: float
    is_whole: bool
    is_readable: bool


@bp.get("/overview")
def index() -> ResponseReturnValue:
    """Show the overview of the last hour, day or week (`of`)."""
    requested = next((choice for choice in RANGES if choice.name == request.args.get("of")), RANGES[1])
    services = current_services()
    now = services.adapters.now()
    report = overview(
        requested,
        services.rollups.between(first_moment(requested, now), now, requested.span_s),
        now,
        services.settings.budget_s,
    )
    span_labels = [_utc(moment, requested) for moment in report.moments]
    deadline_ms = services.settings.budget_s * 1000
    figures: Figures = services.adapters.followups.figures(now)
    return render_template(
        "overview/index.html",
        overview=report,
        ranges=RANGES,
        ticks=_ticks(report.moments, now),
        endings_chart=_markup(
            charts.stacked(report.endings, span_labels, title=f"Callbacks by outcome: {_sum(report)}")
        ),
        times_chart=_markup(
            charts.lines(
                report.times, span_labels, limit=deadline_ms, title="Response time in milliseconds, and the deadline"
            )
        ),
        rows_with=[any(column) for column in _columns(report.endings)],
        errors_chart=_markup(charts.stacked(report.errors, span_labels, title="Errors, by reason")),
        spans_with_errors=[any(column) for column in _columns(report.errors)],
        pending_chart=_markup(charts.lines((report.pending,), span_labels, limit=None, title="Pending follow-ups")),
        bar=lambda value, highest: _markup(charts.bar(value, highest, "s-bad")),
        deadline_ms=deadline_ms,
        figures=figures,
        alarms=services.adapters.task_states.alarms(now),
        now=now,
    )


def first_moment(requested: Range, now: datetime) -> datetime:
    """Return the beginning of the range, whose last span is the present one."""
    return rollups.begin(now, requested.span_s) - timedelta(seconds=requested.span_s * (requested.spans - 1))


def overview(requested: Range, numbers: RollupReport, now: datetime, budget_s: float) -> Overview:
    """Return the numbers as the page shows them."""
    since = first_moment(requested, now)
    moments = tuple(since + timedelta(seconds=requested.span_s * number) for number in range(requested.spans))
    place = {moment: number for number, moment in enumerate(moments)}
    rows = [row for row in numbers.rows if row.began_at in place]
    callbacks = [row for row in rows if row.kind in _CALLBACKS]
    endings = _endings(callbacks, place)
    looked_up = [row for row in callbacks if row.match]
    times = _times_per_span(callbacks, place)
    curves = tuple(
        Series(name, css, tuple(rollups.percentile(span_times, part) for span_times in times))
        for name, css, part in PERCENTILES
    )
    whole: Counter[int] = sum(times, Counter())
    highest_ms = max((value for curve in curves for value in curve.values if value is not None), default=0.0)
    budget_bucket = rollups.bucket_of(budget_s * 1000)
    timed_count = sum(whole.values())
    errors = _errors(rows, place)
    pending = _pending(rows, place)
    return Overview(
        range=requested,
        moments=moments,
        callbacks=_number(callbacks),
        matched_part=_part(_number(row for row in looked_up if row.match == MatchKind.MATCHED), _number(looked_up)),
        in_time_part=_part(sum(number for step, number in whole.items() if step <= budget_bucket), timed_count),
        late=_number(row for row in rows if row.kind == EntryKind.LATE and row.outcome == Outcome.ENRICHED),
        endings=endings,
        highest=charts.top_of(max((sum(value or 0 for value in column) for column in _columns(endings)), default=0)),
        times=curves,
        slowest_ms=charts.top_of(max(highest_ms, budget_s * 1000)),
        overall_ms=tuple((name, rollups.percentile(whole, part)) for name, _, part in PERCENTILES),
        reasons=_reasons(rows),
        errors=errors,
        max_errors=charts.top_of(max((sum(value or 0 for value in column) for column in _columns(errors)), default=0)),
        pending=pending,
        max_pending=charts.top_of(max((value for value in pending.values if value is not None), default=0)),
        is_whole=numbers.is_whole,
        is_readable=numbers.is_readable,
    )


def _endings(callbacks: Iterable[Rollup], place: dict[datetime, int]) -> tuple[Series, ...]:
    """Return the callbacks by ending over time; those of an unknown ending last, if there are any."""
    known = [Series(name, css, _per_span(callbacks, which, place)) for name, css, which in ENDINGS]
    others = [row for row in callbacks if not any(which(row) for _, _, which in ENDINGS)]
    return (*known, *((Series(*OTHER_ENDINGS, _per_span(others, lambda _: True, place)),) if others else ()))


def _reasons(rows: Iterable[Rollup]) -> tuple[ReasonCount, ...]:
    """Count the reasons of errors, most frequent first, of callbacks and of late work."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.outcome in TROUBLE_OUTCOMES:
            counts[row.outcome, row.reason] += row.count.number
    return tuple(
        ReasonCount(
            label_texts.OUTCOMES[Outcome(outcome)].word,
            outcome,
            labels.short_reason(reason) or "no reason given",
            count,
        )
        for (outcome, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _errors(rows: Iterable[Rollup], place: dict[datetime, int]) -> tuple[Series, ...]:
    """Return the errors over time, the most frequent reason first."""
    wrong = [row for row in rows if row.outcome in TROUBLE_OUTCOMES]
    counts: Counter[str] = Counter()
    for row in wrong:
        counts[row.reason] += row.count.number
    top_reasons = [reason for reason, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    top_reasons = top_reasons[: len(REASON_COLOURS)]

    def of(reason: str) -> Which:
        return lambda row: row.reason == reason

    series = [
        Series(labels.short_reason(reason) or "no reason given", css, _per_span(wrong, of(reason), place))
        for reason, css in zip(top_reasons, REASON_COLOURS, strict=False)
    ]
    if len(counts) > len(top_reasons):
        series.append(Series(*OTHER_REASONS, _per_span(wrong, lambda row: row.reason not in top_reasons, place)))
    return tuple(series)


def _pending(rows: Iterable[Rollup], place: dict[datetime, int]) -> Series:
    """Return the average number of pending follow-ups in each span; None where no worker sampled it."""
    averages: list[float | None] = [None] * len(place)
    for row in rows:
        if row.kind == rollups.OPEN_FOLLOWUPS:
            averages[place[row.began_at]] = row.count.number / max(1, sum(row.count.times.values()))
    return Series("pending", "s-most", tuple(averages))


def _columns(series: tuple[Series, ...]) -> list[tuple[float | None, ...]]:
    """Return the values of all series, span by span."""
    return list(zip(*(curve.values for curve in series), strict=True))


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
    """Return five moments for the axis of the charts, the last one now."""
    return (*(moments[len(moments) * number // 4] for number in range(4)), now)


def _utc(moment: datetime, requested: Range) -> str:
    return f"{moment:%a %H:%M} UTC" if requested.name == "week" else f"{moment:%H:%M} UTC"


def _sum(report: Overview) -> str:
    sums = [f"{sum(value or 0 for value in series.values):,.0f} {series.name}" for series in report.endings]
    return ", ".join(sums)


def _markup(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - charts.py has escaped it
