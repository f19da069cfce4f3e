"""The steps of one entry as bars: each begins where the one before it ended.

Gives percentages for SVG attributes: the content-security policy allows no inline styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enrich.domain.deadline import Step

# A step of no time still has to be seen.
NARROWEST = 0.8


@dataclass(frozen=True, slots=True)
class Bar:
    """One step; start and width in percent of the whole chart."""

    step: Step
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All steps. used: percent of the budget that the whole took, 100 at most; is_over: whether it took more."""

    bars: tuple[Bar, ...]
    total_ms: float
    budget_ms: float
    used: float
    is_over: bool


def chart(steps: Sequence[Step], elapsed_ms: float | None, budget_s: float) -> Chart:
    """Return the chart of these steps.

    elapsed_ms: time of the whole, which may be more than its steps; None where it is not known.
    """
    in_steps = sum(step.elapsed_ms for step in steps)
    total_ms = max(in_steps, elapsed_ms or 0)
    budget_ms = budget_s * 1000
    bars = []
    began = 0.0
    for step in steps:
        width = max(NARROWEST, _percent(step.elapsed_ms, total_ms))
        bars.append(Bar(step, start=min(_percent(began, total_ms), 100 - width), width=width))
        began += step.elapsed_ms
    return Chart(
        bars=tuple(bars),
        total_ms=total_ms,
        budget_ms=budget_ms,
        used=max(NARROWEST, min(100.0, _percent(total_ms, budget_ms))),
        is_over=total_ms > budget_ms,
    )


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole > 0 else 0.0
