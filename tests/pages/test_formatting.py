"""Values as text: hostile strings, moments, milliseconds, forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enrich.domain.deadline import Step
from enrich.pages import block_facts, formatting, step_chart

NOW = datetime(2026, 11, 2, 14, 3, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>", "<bdi>&lt;script&gt;</bdi>"),
        ("a\u202eb", '<bdi>a<span class="unseen">U+202E</span>b</bdi>'),
        ("\x00", '<bdi><span class="unseen">U+0000</span></bdi>'),
        ("\ud800", '<bdi><span class="unseen">U+D800</span></bdi>'),
        ("\ufffb", '<bdi><span class="unseen">U+FFFB</span></bdi>'),
        ("\U000e0041", '<bdi><span class="unseen">U+E0041</span></bdi>'),
        ("👩\u200d💻 é", "<bdi>👩\u200d💻 é</bdi>"),
    ],
)
def test_nothing_is_hidden_and_nothing_is_markup(given: str, shown: str) -> None:
    assert formatting.visible(given) == shown
    formatting.visible(given).encode()
    formatting.as_text(given).encode()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (-3, "just now"),
        (47, "40 s ago"),
        (125, "2 min ago"),
        (7300, "2 h ago"),
        (90_000, "1 Nov, 13:03"),
    ],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    assert formatting.ago(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(("seconds", "said"), [(-5, "now"), (40, "in 40 s"), (90, "in 1 min"), (7300, "in 2 h")])
def test_how_soon(seconds: int, said: str) -> None:
    assert formatting.until(NOW + timedelta(seconds=seconds), NOW) == said


def test_exact_moments_name_their_zone() -> None:
    assert formatting.exact(NOW) == "2026-11-02 14:03:22 UTC"
    assert formatting.iso(NOW) == "2026-11-02T14:03:22.000Z"


@pytest.mark.parametrize(("given", "said"), [(0.42, "0.4 ms"), (41.3, "41 ms"), (1240, "1,240 ms")])
def test_milliseconds(given: float, said: str) -> None:
    assert formatting.ms(given) == said


def test_sids_are_shortened_to_kind_and_end() -> None:
    assert formatting.short_sid("WK" + "0" * 28 + "4f2a") == "WK…4f2a"
    assert formatting.short_sid("WK1") == "WK1"


@pytest.mark.parametrize(("sid", "plain"), [("WT12ab", True), ("a/b", False), ("", False), (None, False), ("é", False)])
def test_only_plain_sids_stand_in_addresses(sid: str | None, plain: bool) -> None:
    assert formatting.is_plain_sid(sid) is plain


def test_a_form_is_told_by_its_fields_and_nonsense_as_it_is() -> None:
    assert formatting.form_fields("TaskSid=WT1&TaskAttributes=%7B%7D") == (("TaskSid", "WT1"), ("TaskAttributes", "{}"))
    assert formatting.form_fields("no form") == (("", "no form"),)
    assert len(formatting.form_fields("a=1&" * 5000)) == 1


def test_the_block_is_read_back_plain_values_first() -> None:
    written = '{"from":"x","crm":{"match":"matched","name":"Ada","notes":["a","b"],"open_cases":2,"vip":true,"x":null}}'
    assert block_facts.facts(written, "crm") == (
        block_facts.Fact("Name", ("Ada",), is_list=False),
        block_facts.Fact("Open cases", ("2",), is_list=False),
        block_facts.Fact("Vip", ("yes",), is_list=False),
        block_facts.Fact("Notes", ("a", "b"), is_list=True),
    )


def test_a_case_is_told_in_one_line() -> None:
    (fact,) = block_facts.facts('{"crm":{"cases":[{"id":"K-9","subject":"Gear","tags":["x","y"]}]}}', "crm")
    assert fact.values == ("K-9 · Gear · x, y",)


@pytest.mark.parametrize(
    "hostile", [None, "", "[]", "{", '{"crm":7}', "[" * 100_000, '{"crm":{"a":' + "[" * 900 + "]" * 900 + "}}"]
)
def test_no_attributes_are_too_strange_to_read_back(hostile: str | None) -> None:
    assert block_facts.facts(hostile, "crm") == ()


def test_bars_follow_each_other_and_fill_the_time_taken() -> None:
    chart = step_chart.chart([Step("look_up", 25), Step("write", 75)], 100, budget_s=0.4)
    assert [(bar.start, bar.width) for bar in chart.bars] == [(0, 25), (25, 75)]
    assert (chart.used, chart.is_over) == (25, False)


def test_time_over_the_budget_is_marked() -> None:
    chart = step_chart.chart([Step("fetch", 4000)], None, budget_s=3.5)
    assert (chart.total_ms, chart.used, chart.is_over) == (4000, 100, True)


def test_a_step_of_no_time_can_still_be_seen() -> None:
    chart = step_chart.chart([Step("a", 0), Step("b", 0)], 0, budget_s=3.5)
    assert all(bar.width > 0 and bar.start + bar.width <= 100 for bar in chart.bars)
