"""The metrics of the worker's syncs."""

from __future__ import annotations

from collections import Counter

from enrich.cli.syncs import SyncCounts
from enrich.customers.arrivals import RecordOutcome
from enrich.domain.streams import Pass
from enrich.flows.sync import Run
from enrich.telemetry.metrics import SYNC_OUTCOMES


def test_each_record_is_counted_once() -> None:
    counted: Counter[str] = Counter()
    count = SyncCounts(lambda outcome, number: counted.update({outcome: number}))
    run = Run(Pass.FULL)
    for _ in range(2):
        run.counts.update(read=50, created=49, quarantined=1)
        count(run)
    count(run)
    assert counted == {"read": 100, "created": 98, "quarantined": 2}
    another = Run(Pass.WINDOW, Counter(read=3, changed=3))
    count(another)
    assert (counted["read"], counted["changed"]) == (103, 3)


def test_what_another_process_read_before_an_interruption_is_not_counted_again() -> None:
    counted: Counter[str] = Counter()
    count = SyncCounts(lambda outcome, number: counted.update({outcome: number}))
    resumed = Run(Pass.FULL, Counter(read=150, created=150), earlier=Counter(read=100, created=100))
    count(resumed)
    assert counted == {"read": 50, "created": 50}


def test_the_metrics_know_every_outcome() -> None:
    assert set(SYNC_OUTCOMES) == {*RecordOutcome, "read", "quarantined", "incomplete"}
