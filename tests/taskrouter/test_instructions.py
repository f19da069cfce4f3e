"""Which instruction is given by default."""

from __future__ import annotations

import pytest

from enrich.taskrouter.instructions import ACCEPT, DEFER, DEQUEUE, Instruction, default_instruction, to_json

CALL = '{"call_sid":"CA1"}'
FLEX = '{"flexInteractionSid":"KD1"}'
OTHER = '{"from":"+14155550100","call_sid":null}'


@pytest.mark.parametrize(
    ("name", "attributes", "instruction"),
    [
        ("accept", CALL, ACCEPT),
        ("accept", OTHER, ACCEPT),
        ("defer", OTHER, DEFER),
        ("dequeue", CALL, DEQUEUE),
        pytest.param("dequeue", OTHER, ACCEPT, id="dequeue-is-for-calls-alone"),
        pytest.param("auto", CALL, DEFER, id="accept-would-leave-the-caller-in-hold-music"),
        pytest.param("auto", FLEX, DEFER, id="flex-sets-the-work-up-itself"),
        ("auto", OTHER, ACCEPT),
        ("auto", "{}", ACCEPT),
        ("auto", "", ACCEPT),
        ("auto", "[1,2]", ACCEPT),
        pytest.param("auto", '{"call_sid":"CA1"', DEFER, id="unreadable-but-plainly-a-call"),
        pytest.param("auto", "{" * 5000, ACCEPT, id="unreadable"),
    ],
)
def test_the_default_does_no_harm(name: str, attributes: str, instruction: Instruction) -> None:
    assert default_instruction(name, attributes) == instruction


def test_no_instruction_is_an_empty_object() -> None:
    assert to_json(DEFER) == "{}"
