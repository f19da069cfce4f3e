"""The counts by which processes share what is opened on their socket."""

from __future__ import annotations

import os

import pytest

from enrich.resilience.connection_balance import LEAD, PLACES, ConnectionCounts


@pytest.fixture
def counts() -> ConnectionCounts:
    return ConnectionCounts()


def accepting(counts: ConnectionCounts, *connections: int) -> list[int]:
    """Return the places of processes that have so many connections."""
    places = [counts.reserve() for _ in connections]
    for place, number in zip(places, connections, strict=True):
        counts.begin(place)
        for _ in range(number):
            counts.opened(place)
    return places


@pytest.mark.parametrize(
    ("connections", "have_their_share"),
    [
        ((1000,), (False,)),
        ((0, 0), (False, False)),
        ((LEAD - 1, 0), (False, False)),
        ((LEAD, 0), (True, False)),
        ((80 + 5 + LEAD - 1, 80), (False, False)),
        ((80 + 5 + LEAD, 80), (True, False)),
        ((50, 50, 20), (True, True, False)),
    ],
    ids=["alone", "new", "a little more", "the lead", "a sixteenth more", "more than that", "of three"],
)
def test_a_process_has_its_share_if_another_has_clearly_fewer(
    counts: ConnectionCounts, connections: tuple[int, ...], have_their_share: tuple[bool, ...]
) -> None:
    places = accepting(counts, *connections)
    assert tuple(map(counts.has_its_share, places)) == have_their_share


@pytest.mark.parametrize(
    ("connections", "have_too_many"),
    [
        ((1000,), (False,)),
        ((LEAD, 0), (False, False)),
        ((LEAD + 1, 0), (True, False)),
        ((80 + 5 + LEAD, 80), (False, False)),
        ((80 + 5 + LEAD + 1, 80), (True, False)),
        ((64, 0, 30), (True, False, True)),
    ],
    ids=["alone", "ahead", "too far ahead", "ahead of many", "too far ahead of many", "of three"],
)
def test_a_process_has_too_many_if_it_has_more_than_its_share(
    counts: ConnectionCounts, connections: tuple[int, ...], have_too_many: tuple[bool, ...]
) -> None:
    places = accepting(counts, *connections)
    assert tuple(map(counts.has_too_many, places)) == have_too_many


def test_what_one_has_too_many_of_is_left_to_the_others(counts: ConnectionCounts) -> None:
    """Otherwise it would take the connection again that it has closed."""
    full, empty = accepting(counts, 64, 0)
    while counts.has_too_many(full):
        counts.closed(full)
        assert counts.has_its_share(full)
        assert not counts.has_its_share(empty)
        counts.opened(empty)


def test_what_is_closed_makes_room(counts: ConnectionCounts) -> None:
    many, _few = accepting(counts, LEAD, 0)
    counts.closed(many)
    assert not counts.has_its_share(many)


def test_nothing_is_left_to_a_process_that_does_not_accept(counts: ConnectionCounts) -> None:
    """It is starting, or ending: its connections may be none, and it would take no more."""
    (busy,) = accepting(counts, 100)
    starting = counts.reserve()
    assert not counts.has_its_share(busy)
    counts.begin(starting)
    assert counts.has_its_share(busy)
    counts.end(starting)
    assert not counts.has_its_share(busy)


def test_connections_that_end_after_their_process_stopped_accepting_are_not_counted(counts: ConnectionCounts) -> None:
    busy, ending = accepting(counts, 100, 3)
    counts.end(ending)
    for _ in range(3):
        counts.closed(ending)
    counts.opened(ending)
    assert not counts.has_its_share(busy)


def test_the_place_of_a_process_that_died_is_used_again(counts: ConnectionCounts) -> None:
    first, _second = accepting(counts, 5, 5)
    counts.release(first)
    assert counts.reserve() == first


def test_processes_beyond_the_places_have_the_last_one(counts: ConnectionCounts) -> None:
    assert [counts.reserve() for _ in range(PLACES + 2)][-3:] == [PLACES - 1] * 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking where there are threads: the child only counts
def test_a_child_counts_where_its_siblings_see_it(counts: ConnectionCounts) -> None:
    here, there = accepting(counts, LEAD, LEAD)
    assert not counts.has_its_share(here)
    child = os.fork()
    if not child:
        for _ in range(LEAD):
            counts.closed(there)
        os._exit(0)
    os.waitpid(child, 0)
    assert counts.has_its_share(here)
