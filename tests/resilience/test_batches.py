"""Batches: what comes while somebody asks is asked together, and nobody waits in vain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from enrich.resilience.batches import Batches

# Greenlets run until they wait, so what happens when is certain. Each call waits until it is let go.
BEGIN = """
from gevent import monkey; monkey.patch_all()
import queue
import gevent
from enrich.domain.deadline import OutOfTime
from enrich.resilience.batches import Batches

asked, go_on = [], queue.SimpleQueue()

def one(question):
    asked.append(question)
    if error := go_on.get():
        raise error
    return question * 10

def many(questions):
    return [one(tuple(questions)), [question * 10 for question in questions]][1]

batches, got = Batches(one, many, 3), {}

def ask(question):
    try:
        got[question] = batches.ask(question)
    except (ValueError, OutOfTime) as exc:
        got[question] = type(exc)

def asking(*questions):
    greenlets = [gevent.spawn(ask, question) for question in questions]
    gevent.sleep(0)
    return greenlets

def let_go(*errors):
    for error in errors:
        go_on.put(error)
    gevent.sleep(0.001)

everyone = asking(1, 2, 3, 4, 5)
assert asked == [1]
"""

TOGETHER = """
let_go(None)
assert asked == [1, (2, 3, 4)] and got == {1: 10}, (asked, got)
let_go(None)
assert asked == [1, (2, 3, 4), 5] and got == {1: 10, 2: 20, 3: 30, 4: 40}, (asked, got)
let_go(None)
"""

FAILED_ALONE = """
let_go(ValueError())
assert asked == [1, (2, 3, 4)] and got == {1: ValueError}, (asked, got)
let_go(None, None)
"""

FAILED_TOGETHER = """
let_go(None, ValueError())
assert asked[:2] == [1, (2, 3, 4)] and sorted(asked[2:]) == [2, 3, 4, 5], asked
let_go(None, None, None, ValueError())
assert sorted(map(str, got.values())).count(str(ValueError)) == 1, got
"""

INTERRUPTED_WHILE_WAITING = """
everyone[1].kill(OutOfTime(0.0))
let_go(None)
assert asked == [1, (3, 4, 5)], asked
let_go(None)
"""

INTERRUPTED_WHILE_ASKING = """
let_go(None)
everyone[1].kill(OutOfTime(0.0))
gevent.sleep(0.001)
assert sorted(asked[2:]) == [3, 4, 5], asked
let_go(None, None, None)
assert got == {1: 10, 2: OutOfTime, 3: 30, 4: 40, 5: 50}, got
"""

INTERRUPTED_WHEN_ITS_TURN_COMES = """
go_on.put(None)
everyone[1].kill(OutOfTime(0.0), block=False)
everyone[0].join()
gevent.sleep(0.001)
assert got == {1: 10, 2: OutOfTime}, got
assert asked == [1, (3, 4, 5)], asked
let_go(None)
"""

END = """
gevent.joinall(everyone, timeout=20)
assert sorted(got) == [1, 2, 3, 4, 5], got
last = asking(6)
let_go(None)
assert got[6] == 60, (asked, got)
"""

PROGRAMS = {
    "together": TOGETHER,
    "failed alone": FAILED_ALONE,
    "failed together": FAILED_TOGETHER,
    "interrupted while waiting": INTERRUPTED_WHILE_WAITING,
    "interrupted while asking": INTERRUPTED_WHILE_ASKING,
    "interrupted when its turn comes": INTERRUPTED_WHEN_ITS_TURN_COMES,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_greenlets(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", BEGIN + program + END], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_with_nobody_else_a_question_is_asked_alone() -> None:
    def never(_questions: Sequence[int]) -> Sequence[int]:
        raise AssertionError("together with whom?")

    batches = Batches(lambda question: question * 10, never, 3)
    assert [batches.ask(question) for question in (1, 2)] == [10, 20]
