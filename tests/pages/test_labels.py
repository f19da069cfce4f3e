"""Every slug has words, and different endings have different ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enrich import errors
from enrich.domain.matches import MatchKind, NoMatchReason, Trust
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind, Outcome, Reason
from enrich.journal.records import CandidateFound, Entry, KeyFound, LookupFinding
from enrich.pages import label_texts, labels
from enrich.policy.timeouts import Alarm

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
ICONS = (Path(__file__).parents[2] / "templates" / "icons.html").read_text()
PHONE = KeyFound("phone", "+14155550100", "verified", "from", 1)
ENTRY = Entry(
    id=1,
    kind="assignment",
    received_at=NOW,
    repeats=0,
    task_sid="WT1",
    reservation_sid="WR1",
    worker_sid="WK1",
    worker_name="Grace Hopper",
    event_type="",
    concluded_at=NOW,
    outcome="enriched",
    reason="",
    match="matched",
    by="phone",
    trust="verified",
    customer_id="C-1",
    customer_name="Ada Lovelace",
    finding=LookupFinding(keys=(PHONE,)),
    elapsed_ms=41,
)


def every_error(root: type[errors.EnrichError] = errors.EnrichError) -> Iterator[type[errors.EnrichError]]:
    yield root
    for kind in root.__subclasses__():
        yield from every_error(kind)


@pytest.mark.parametrize("slug", sorted({kind.reason for kind in every_error()} | set(NoMatchReason) | set(Reason)))
def test_every_reason_has_words(slug: str) -> None:
    assert label_texts.REASONS[slug][0]
    assert labels.reason_sentence(slug).endswith(".")


def test_every_closed_list_has_words() -> None:
    assert set(label_texts.OUTCOMES) == set(Outcome)
    assert set(label_texts.MATCHES) == set(MatchKind)
    assert set(label_texts.KINDS) == set(EntryKind)
    assert set(label_texts.TRUSTS) == set(label_texts.TRUST_SENTENCES) == set(Trust)
    assert set(label_texts.FOLLOWUPS) == set(FollowupKind)
    assert set(label_texts.ACTIVITIES) == set(ActivityType)
    assert set(label_texts.ALARMS) == set(Alarm) - {Alarm.NONE}


def all_verdicts() -> list[label_texts.Verdict]:
    return [
        *label_texts.MATCHES.values(),
        *label_texts.OUTCOMES.values(),
        label_texts.IN_PROGRESS,
        label_texts.BROKEN_OFF,
    ]


def test_different_endings_have_different_words_and_shapes() -> None:
    """Colour is never all that tells them apart."""
    verdicts = [verdict for verdict in all_verdicts() if verdict.word != "Enriched"]
    assert len({verdict.word for verdict in verdicts}) == len(verdicts)
    tones = {(verdict.icon, verdict.tone) for verdict in verdicts}
    assert len({icon for icon, _ in tones}) == len(tones)


@pytest.mark.parametrize(
    "verdict", [*all_verdicts(), label_texts.EVENT, label_texts.UNKNOWN], ids=lambda verdict: verdict.word
)
def test_every_shape_is_drawn(verdict: label_texts.Verdict) -> None:
    assert f'id="i-{verdict.icon}"' in ICONS


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ({}, "Matched"),
        ({"match": "ambiguous"}, "Ambiguous"),
        ({"match": "claimed"}, "Claimed, verify first"),
        ({"match": "none", "reason": "withheld"}, "No match"),
        ({"outcome": "could_not_look", "match": None}, "Look-up failed"),
        ({"outcome": "could_not_write"}, "Write failed"),
        ({"outcome": "out_of_time"}, "Out of time"),
        ({"outcome": "malformed"}, "Not understood"),
        ({"outcome": "not_tried"}, "Answered without look-up"),
        ({"outcome": "gone"}, "Task was over"),
        ({"outcome": "failed", "reason": "failed"}, "Internal error"),
        ({"outcome": "failed", "reason": "interrupted"}, "Interrupted"),
        ({"outcome": None, "concluded_at": None}, "In progress"),
        ({"outcome": None, "concluded_at": None, "received_at": NOW - timedelta(seconds=11)}, "Interrupted"),
        ({"outcome": None, "kind": "event"}, "Event"),
        ({"outcome": "invented later"}, "Unknown outcome"),
        ({"match": "invented later"}, "Unknown outcome"),
    ],
)
def test_each_ending_has_its_word(differences: dict[str, Any], word: str) -> None:
    assert labels.verdict(replace(ENTRY, **differences), NOW).word == word


@pytest.mark.parametrize(
    ("reason", "keys", "said"),
    [
        ("withheld", (), "number withheld"),
        ("no_key", (), "no contact details"),
        ("unknown_form", (), "address of unknown form"),
        ("no_such_key", (PHONE,), "no customer has this phone number"),
        ("no_such_key", (replace(PHONE, kind="email"),), "no customer has this e-mail address"),
        ("no_such_key", (PHONE, replace(PHONE, kind="email")), "no customer has this number, address or id"),
        ("", (), ""),
        ("added_later", (), "added later"),
    ],
)
def test_why_there_is_nobody_is_said(reason: str, keys: tuple[KeyFound, ...], said: str) -> None:
    assert labels.reason(replace(ENTRY, match="none", reason=reason, finding=LookupFinding(keys=keys))) == said


ANYBODY = replace(ENTRY, customer_id=None, customer_name="")
THREE = tuple(CandidateFound(f"C-{name}", name) for name in ("Ada", "Grace", "Joan"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ENTRY, "Ada Lovelace"),
        (replace(ENTRY, customer_name=""), "Customer C-1"),
        (replace(ANYBODY, finding=LookupFinding(candidates=THREE[:2])), "Ada or Grace"),
        (replace(ANYBODY, finding=LookupFinding(candidates=THREE)), "Ada or Grace or 1 more"),
        (ANYBODY, "+14155550100"),
        (replace(ANYBODY, finding=LookupFinding(withheld=("from",))), "Withheld number"),
        (replace(ANYBODY, match="none", finding=LookupFinding(unknown=("from",))), "Unknown form (from)"),
        (replace(ANYBODY, match="none", finding=LookupFinding()), "No contact details"),
        (replace(ANYBODY, finding=LookupFinding(), match="none"), "No contact details"),
        (replace(ANYBODY, finding=LookupFinding(), match=None), "Not known yet"),
        (replace(ANYBODY, finding=LookupFinding(), match=None, outcome="malformed"), "Unreadable request"),
        (replace(ANYBODY, finding=LookupFinding(), match=None, outcome="gone"), "Customer not identified"),
        (replace(ENTRY, outcome="gone"), "Ada Lovelace"),
    ],
)
def test_a_line_always_names_somebody_or_something(entry: Entry, said: str) -> None:
    assert labels.customer_label(entry) == said


def test_how_it_matched_is_told_only_of_who_was_found() -> None:
    assert labels.evidence(ENTRY) == "by phone, verified"
    assert labels.evidence(replace(ENTRY, by="account_number", trust="claimed", match="claimed")) == (
        "by account number, claimed"
    )
    assert labels.evidence(replace(ENTRY, match="none")) == ""


def test_every_mark_is_explained() -> None:
    late = labels.marks(replace(ENTRY, kind="late"), owes=True)
    fallback = labels.marks(replace(ENTRY, kind="fallback"), owes=False)
    assert {mark.word for mark in (*late, *fallback)} == {"Enriched late", "Follow-up pending", "Fallback"}
    assert {*late, *fallback} == set(labels.mark_legend())


def test_what_could_not_be_understood_is_in_the_legend() -> None:
    assert label_texts.OUTCOMES[Outcome.MALFORMED] in labels.legend()


def test_an_interruption_is_not_blamed_on_a_stop_alone() -> None:
    said = labels.reason_sentence("interrupted")
    assert "stopped" in said
    assert "no time to record" in said


def test_an_event_is_called_by_what_it_is() -> None:
    event = replace(ANYBODY, kind="event", event_type="task.created", outcome=None, match=None, finding=LookupFinding())
    assert (labels.customer_label(event), labels.explanation(event)) == ("task.created", label_texts.EVENT.sentence)
    assert labels.customer_label(replace(event, event_type="")) == "Event"


@pytest.mark.parametrize("match", [*MatchKind, None])
def test_there_is_always_a_sentence(match: str | None) -> None:
    assert labels.explanation(replace(ENTRY, match=match)).endswith(".")
    assert labels.explanation(replace(ENTRY, match=match, by="", finding=LookupFinding())).endswith(".")


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (None, ""),
        (
            {"by": "rule", "name": "Gold", "when": 'customer.tier == "gold"'},
            'Rule “Gold” decided, since customer.tier == "gold".',
        ),
        ({"by": "rule", "name": "All", "when": ""}, "Rule “All” decided; it always applies."),
        ({"by": "channel", "name": "voice", "when": ""}, "No rule applied; the default for the channel voice decided."),
        (
            {
                "by": "setting",
                "name": "",
                "when": "",
                "passed": [{"rule": "Gold", "reason": "to: task.to is not there"}],
            },
            "No rule applied; the default instruction decided. Skipped: Gold (to: task.to is not there).",
        ),
    ],
)
def test_what_decided_is_told_in_one_line(decision: dict[str, Any] | None, line: str) -> None:
    assert labels.decision_source(decision) == line
