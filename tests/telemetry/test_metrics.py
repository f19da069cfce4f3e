"""Metrics: bounded labels, one table, and the numbers that come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.domain.deadline import Step, StepName
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.telemetry.metrics import TABLE, Metrics

PACKAGE = Path(__file__).parents[2] / "enrich"


def samples(counted: Metrics, **figures: float) -> dict[str, float]:
    """Return the exposed values by series, without the times of creation."""
    lines = counted.exposition(figures).decode().splitlines()
    return {
        series: float(value)
        for series, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        if not series.partition("{")[0].endswith("_created")
    }


def answered(counted: Metrics, reason: str = "", *steps: Step, outcome: Outcome | None = Outcome.ENRICHED) -> None:
    counted.callback(EntryKind.ASSIGNMENT, outcome, reason, steps, elapsed_s=0.02, left_s=3.2)


def test_a_callback_is_counted_by_outcome_and_reason_with_its_times() -> None:
    counted = Metrics()
    answered(counted, "no_such_key", Step("fetch", 12.0), Step("fetch", 3.0), Step("write", 8.0))
    told = samples(counted)
    assert told['enrich_callbacks_total{endpoint="assignment",outcome="enriched",reason="no_such_key"}'] == 1
    assert told['enrich_callback_seconds_bucket{endpoint="assignment",le="0.01"}'] == 0
    assert told['enrich_callback_seconds_bucket{endpoint="assignment",le="0.025"}'] == 1
    assert told['enrich_step_seconds_count{step="fetch"}'] == 2
    assert told['enrich_step_seconds_sum{step="fetch"}'] == pytest.approx(0.015)
    assert told['enrich_budget_left_seconds_bucket{le="3.0"}'] == 0
    assert told['enrich_budget_left_seconds_bucket{le="3.5"}'] == 1


def test_a_repeat_has_no_outcome_of_its_own() -> None:
    counted = Metrics()
    answered(counted, outcome=None)
    assert samples(counted)['enrich_callbacks_total{endpoint="assignment",outcome="repeat",reason=""}'] == 1


def test_nothing_from_outside_becomes_a_label() -> None:
    """Values from outside make no series of their own, so that the number of series stays bounded."""
    counted = Metrics()
    for number in range(50):
        hostile = f"+1415555{number:04}"
        answered(counted, hostile, Step(hostile, 1.0))
        counted.event(hostile, "kept")
        counted.refused(hostile)
        counted.sign_in(hostile)
        counted.read(hostile, hostile)
        counted.followup(FollowupKind.ENRICH, hostile, hostile)
        counted.rest_request("GET", hostile)
        counted.rest_request("GET", str(number + 520))
    text = counted.exposition({}).decode()
    assert "+1415555" not in text
    told = samples(counted)
    assert told['enrich_events_total{result="kept",type="other"}'] == 50
    assert told['enrich_rest_requests_total{method="GET",status="5xx"}'] == 50
    assert len(told) < 200


def test_what_has_not_happened_yet_is_told_as_0() -> None:
    told = samples(Metrics())
    assert told['enrich_shed_total{cause="in_flight"}'] == 0
    assert told['enrich_sign_ins_total{result="failed"}'] == 0
    assert told['enrich_refused_total{reason="invalid_signature"}'] == 0
    assert told['enrich_breaker_open{of="database"}'] == 0
    assert told['enrich_restorations_total{result="left"}'] == 0


def test_a_figure_that_could_not_be_looked_up_is_absent_not_0() -> None:
    told = samples(Metrics(), enrich_database_up=0.0)
    assert told["enrich_database_up"] == 0
    assert "enrich_followups_owed" not in told


def test_a_figure_with_a_label_is_told_for_each_of_its_values() -> None:
    told = Metrics().exposition({"enrich_alarms": {"canceled_loop": 2, "assignment_limit": 0}}).decode()
    assert 'enrich_alarms{alarm="canceled_loop"} 2.0' in told
    assert 'enrich_alarms{alarm="assignment_limit"} 0.0' in told


def test_every_reason_that_the_code_knows_is_counted_under_its_name() -> None:
    counted = Metrics()
    for reason in Reason:
        answered(counted, reason)
    assert 'reason="other"' not in counted.exposition({}).decode()


@pytest.mark.parametrize("name", StepName)
def test_every_step_is_counted_under_its_name(name: StepName) -> None:
    counted = Metrics()
    answered(counted, "", Step(name, 12.0))
    assert samples(counted)[f'enrich_step_seconds_count{{step="{name}"}}'] == 1


def test_names_follow_the_rules_of_the_field() -> None:
    for row in TABLE:
        assert row.name.startswith("enrich_")
        assert row.name.endswith("_total") == (row.kind == "counter"), row.name
        assert row.help.endswith("."), row.name
        assert bool(row.buckets) == (row.kind == "histogram"), row.name
