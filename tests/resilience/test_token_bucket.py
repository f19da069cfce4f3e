"""Token buckets: a rate for each key, with a burst on top."""

from __future__ import annotations

import pytest

from enrich.resilience.token_bucket import TokenBuckets
from tests.support.clock import ManualClock


def test_a_burst_passes_and_then_the_rate(clock: ManualClock) -> None:
    buckets = TokenBuckets(10, 3, now=clock)
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now_s += 0.05
    assert buckets.take("a") == pytest.approx(0.05)
    clock.now_s += 0.05001
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0


def test_keys_do_not_know_each_other(clock: ManualClock) -> None:
    buckets = TokenBuckets(1, 1, now=clock)
    assert buckets.take("a") == 0.0
    assert buckets.take("b") == 0.0
    assert buckets.take("a") == pytest.approx(1.0)


def test_a_bucket_holds_no_more_than_its_burst(clock: ManualClock) -> None:
    buckets = TokenBuckets(10, 2, now=clock)
    assert buckets.take("a") == 0.0
    clock.now_s += 3600
    assert [buckets.take("a") > 0 for _ in range(3)] == [False, False, True]
