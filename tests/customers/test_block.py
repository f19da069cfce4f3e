import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enrich.customers.block import (
    DROP_ORDER,
    FIELDS,
    MAX_SHOWN_CANDIDATES,
    MAX_SHOWN_CASES,
    MAX_SHOWN_NOTE_LENGTH,
    MAX_SHOWN_NOTES,
    BlockShape,
    Versions,
    compose,
)
from enrich.domain.matches import (
    Ambiguous,
    Candidate,
    Case,
    Claimed,
    Customer,
    LookupKey,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)

KEY = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
TYPED = LookupKey("email", "ada@example.com", Trust.CLAIMED, "email")
ADA = Matched("C-1001", "Ada Lovelace", KEY)
WHOLE = BlockShape()


def make_customer(**changes: Any) -> Customer:
    details: dict[str, Any] = {
        "id": "C-1001",
        "name": "Ada Lovelace",
        "company": "Analytical Engines",
        "tier": "gold",
        "language": "en",
        "owner": "dana@example.com",
        "notes": ("Prefers mornings",),
        "open_cases": (Case("K-9", "Broken gear", "open", "2026-11-02"), Case("K-8", "Oil", "new")),
    }
    return Customer(**(details | changes))


def make_candidates(number: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"C-{one:04}", f"Customer {one}", "phone", KEY.value) for one in range(number))


def text_of(block: dict[str, Any]) -> str:
    return json.dumps(block, ensure_ascii=False, separators=(",", ":"))


def test_a_match_shows_the_customer_in_a_fixed_order() -> None:
    assert text_of(compose(ADA, make_customer(), WHOLE)[0]) == text_of(
        {
            "match": "matched",
            "by": "phone",
            "trust": "verified",
            "customer_id": "C-1001",
            "name": "Ada Lovelace",
            "company": "Analytical Engines",
            "tier": "gold",
            "language": "en",
            "owner": "dana@example.com",
            "open_cases": 2,
            "cases": [
                {"id": "K-9", "subject": "Broken gear", "status": "open", "opened_on": "2026-11-02"},
                {"id": "K-8", "subject": "Oil", "status": "new"},
            ],
            "notes": ["Prefers mornings"],
        }
    )


def test_what_the_crm_does_not_have_is_left_out_but_no_open_cases_are_told() -> None:
    assert compose(ADA, Customer("C-1001", "Ada Lovelace"), WHOLE)[0] == {
        "match": "matched",
        "by": "phone",
        "trust": "verified",
        "customer_id": "C-1001",
        "name": "Ada Lovelace",
        "open_cases": 0,
    }


def test_without_details_the_block_says_what_the_match_knows() -> None:
    assert compose(ADA, None, WHOLE)[0] == {
        "match": "matched",
        "by": "phone",
        "trust": "verified",
        "customer_id": "C-1001",
        "name": "Ada Lovelace",
    }


def test_an_agent_is_not_shown_everything() -> None:
    customer = make_customer(
        notes=tuple(f"{number} " + "long " * 100 for number in range(9)),
        open_cases=tuple(Case(f"K-{number}", "s", "open") for number in range(9)),
    )
    block = compose(ADA, customer, WHOLE)[0]
    assert block["open_cases"] == 9
    assert len(block["cases"]) == MAX_SHOWN_CASES
    assert len(block["notes"]) == MAX_SHOWN_NOTES
    assert all(len(note) <= MAX_SHOWN_NOTE_LENGTH and note.endswith("…") for note in block["notes"])


def test_fields_that_are_not_wanted_are_not_there() -> None:
    shape = BlockShape(fields=frozenset({"tier", "open_cases"}))
    assert list(compose(ADA, make_customer(), shape)[0]) == [
        "match",
        "by",
        "trust",
        "customer_id",
        "tier",
        "open_cases",
    ]
    ambiguous = compose(Ambiguous(make_candidates(2), KEY), None, shape)[0]
    assert ambiguous["candidates"] == [{"customer_id": "C-0000"}, {"customer_id": "C-0001"}]


def test_a_smaller_match_gives_up_fields_in_the_declared_order() -> None:
    versions = compose(ADA, make_customer(), BlockShape(drop_order=("company", "name")))
    dropped = [set(before) - set(after) for before, after in pairwise(versions)]
    assert dropped[:2] == [{"company"}, {"name"}]
    assert all(version["trimmed"] is True for version in versions[1:])
    assert versions[-1] == {"match": "matched", "customer_id": "C-1001", "trimmed": True}


@pytest.mark.parametrize("which", [0, 2, 3, -1, slice(1, 3), slice(-2, None), slice(0, 0)], ids=repr)
def test_versions_that_are_made_when_asked_for_are_those_of_a_list(which: Any) -> None:
    listed = [{"match": "matched", "size": size} for size in range(4, 0, -1)]
    versions = Versions(iter(listed))
    assert versions[which] == listed[which]
    assert (list(versions), len(versions)) == (listed, 4)
    with pytest.raises(IndexError):
        versions[4]


def test_nothing_is_made_that_nobody_asked_for() -> None:
    def made() -> Any:
        yield {"match": "matched"}
        pytest.fail("a smaller version was made")

    assert Versions(made())[0] == {"match": "matched"}


def test_several_candidates_are_listed_with_their_names() -> None:
    assert compose(Ambiguous(make_candidates(2), KEY), None, WHOLE)[0] == {
        "match": "ambiguous",
        "by": "phone",
        "candidates": [
            {"customer_id": "C-0000", "name": "Customer 0"},
            {"customer_id": "C-0001", "name": "Customer 1"},
        ],
    }


def test_a_claim_says_that_it_is_one() -> None:
    versions = compose(Claimed(make_candidates(1), TYPED), None, WHOLE)
    assert versions[0] == {
        "match": "claimed",
        "by": "email",
        "trust": "claimed",
        "candidates": [{"customer_id": "C-0000", "name": "Customer 0"}],
    }
    assert versions[-1] == {
        "match": "claimed",
        "by": "email",
        "trust": "claimed",
        "candidates_total": 1,
        "trimmed": True,
    }


def test_of_many_candidates_some_are_shown_and_all_are_counted() -> None:
    versions = compose(Ambiguous(make_candidates(40), KEY), None, WHOLE)
    assert len(versions[0]["candidates"]) == MAX_SHOWN_CANDIDATES
    assert versions[0]["candidates_total"] == 40
    assert "trimmed" not in versions[0]
    assert "name" not in versions[1]["candidates"][0]
    assert versions[-1] == {"match": "ambiguous", "by": "phone", "candidates_total": 40, "trimmed": True}


@pytest.mark.parametrize("reason", NoMatchReason)
def test_nobody_is_said_with_the_reason(reason: NoMatchReason) -> None:
    assert compose(NoMatch(reason), None, WHOLE) == ({"match": "none", "reason": reason.value},)


def test_a_field_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'fullname'"):
        BlockShape(fields=frozenset({"name", "fullname"}))
    with pytest.raises(ValueError, match="'customer_id'"):
        BlockShape(drop_order=("notes", "customer_id"))


TEXTS = st.text(max_size=12)
CASES = st.builds(Case, TEXTS, TEXTS, TEXTS, st.none() | TEXTS)
CUSTOMERS = st.builds(
    Customer,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.lists(st.text(max_size=300), max_size=5).map(tuple),
    st.lists(CASES, max_size=5).map(tuple),
)
CANDIDATES = st.lists(st.builds(Candidate, TEXTS, TEXTS, st.just("phone"), st.just("+1")), min_size=1, max_size=14)
MATCHES = st.one_of(
    st.builds(Matched, TEXTS, TEXTS, st.just(KEY)),
    st.builds(Ambiguous, CANDIDATES.map(tuple), st.just(KEY)),
    st.builds(Claimed, CANDIDATES.map(tuple), st.just(TYPED)),
    st.builds(NoMatch, st.sampled_from(NoMatchReason)),
)
SHAPES = st.builds(
    BlockShape,
    st.frozensets(st.sampled_from(FIELDS)),
    st.lists(st.sampled_from(DROP_ORDER), unique=True).map(tuple),
)


@settings(deadline=None)
@example(Ambiguous((Candidate("000", "", "phone", "+1"),), KEY), None, BlockShape(frozenset(), ()))
@given(MATCHES, st.none() | CUSTOMERS, SHAPES)
def test_each_version_is_shorter_than_the_one_before(match: Any, customer: Customer | None, shape: BlockShape) -> None:
    """Written compactly, with spaces, or with everything beyond ASCII escaped."""
    versions = compose(match, customer, shape)
    for options in ({"ensure_ascii": False, "separators": (",", ":")}, {}, {"separators": (",", ":")}):
        lengths = [len(json.dumps(version, **options)) for version in versions]
        assert lengths == sorted(set(lengths), reverse=True)
    assert list(versions) == list(compose(match, customer, shape))
    assert all("trimmed" in version for version in versions[1:])
