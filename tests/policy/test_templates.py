"""Texts with places for values: what goes in, what is missing, and that an address keeps its host."""

from __future__ import annotations

from typing import Any

import pytest

from enrich.policy.expressions import ExpressionError
from enrich.policy.templates import Missing, compile_template

CONTEXT: dict[str, Any] = {
    "task": {"to": "+14155550000", "blank": " ", "n": 3, "f": 1.5, "yes": True, "many": ["a", "b"], "deep": {"a": 1}},
    "customer": {"name": "Ada & Söhne/?#", "cases": [{"id": "K-9"}]},
    "worker": {"contact_uri": "client:dana"},
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{task.to}", "+14155550000"),
        ("a {task.n} b {task.f}{task.yes}", "a 3 b 1.5true"),
        ("{task.many[1]}", "b"),
        ("{customer.cases[0].id}", "K-9"),
        ("{ task.to }", "+14155550000"),
        ("{task.absent|nobody}", "nobody"),
        ("{task.absent|}", ""),
        ("{task.blank|else}", "else"),
        ("{task.many|else}", "else"),
        ("{task.to|else}", "+14155550000"),
        ("{{task.to}}", "{task.to}"),
        ("{{{task.n}}}", "{3}"),
    ],
)
def test_values_go_where_their_places_are(text: str, filled: str) -> None:
    assert compile_template(text).fill(CONTEXT) == filled


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{task.absent}", "task.absent is not there"),
        ("x{task.blank}", "task.blank is blank"),
        ("{task.many}", "task.many is a list"),
        ("{task.deep}", "task.deep is an object"),
        ("{nobody.name}", "nobody.name is not there"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_made_of_the_rest(text: str, told: str) -> None:
    with pytest.raises(Missing, match=told):
        compile_template(text).fill(CONTEXT)


@pytest.mark.parametrize("text", ["{", "a}", "{task.to", "{}", "{task to}", "{'x'}", "{1}", "{task.to}}"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_template(text)


def test_in_an_address_a_value_stays_within_its_part() -> None:
    template = compile_template("https://calls.example.com/greet?name={customer.name}&to={task.to}")
    assert template.fill(CONTEXT, is_address=True) == (
        "https://calls.example.com/greet?name=Ada%20%26%20S%C3%B6hne%2F%3F%23&to=%2B14155550000"
    )


@pytest.mark.parametrize(
    ("text", "chooses"),
    [
        ("https://calls.example.com/{task.to}", False),
        ("https://calls.example.com?x={task.to}", False),
        ("https://calls.example.com", False),
        ("{task.url}", True),
        ("https://{task.host}/x", True),
        ("https://calls.example.com{task.rest}", True),
        ("https://calls.example.com:{task.port}/", True),
        ("https://me@{task.host}/", True),
    ],
)
def test_no_value_chooses_the_host_of_an_address(text: str, chooses: bool) -> None:
    assert compile_template(text).chooses_host is chooses


def test_a_single_place_keeps_the_type_of_its_value() -> None:
    values = [compile_template(text).value(CONTEXT) for text in ("{task.n}", "{task.yes}", "{task.to}", "n {task.n}")]
    assert values == [3, True, "+14155550000", "n 3"]
    with pytest.raises(Missing):
        compile_template("{task.absent}").value(CONTEXT)
