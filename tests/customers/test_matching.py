import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY, choose, explain, lookup_keys
from enrich.domain.matches import (
    MAX_KEYS,
    Ambiguous,
    Candidate,
    Claimed,
    LookupKey,
    LookupKeys,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)

RULES = KeyRules.parse()
NAMES = {"C-1": "Ada", "C-2": "Grace", "C-3": "Maria", "C-4": "Tom"}


def asked(attributes: Any, rules: KeyRules = RULES) -> list[tuple[str, str, str]]:
    return [(key.kind, key.value, key.attribute) for key in lookup_keys(attributes, rules).keys]


def make_key(value: str, trust: Trust = Trust.VERIFIED, *, attribute: str = "", kind: str = "phone") -> LookupKey:
    return LookupKey(kind, value, trust, attribute or f"from_{value}")


def make_keys(*keys: LookupKey, withheld: tuple[str, ...] = ()) -> LookupKeys:
    return LookupKeys(keys, withheld)


def found_by(key: LookupKey, *customer_ids: str) -> list[Candidate]:
    return [Candidate(one, NAMES.get(one, "Somebody"), key.kind, key.value) for one in customer_ids]


PHONE, MAIL, ACCOUNT = make_key("+1"), make_key("a@example.com", kind="email"), make_key("a-17", kind="account_number")
TYPED = make_key("typed@example.com", Trust.CLAIMED, kind="email")
TYPED_PHONE = make_key("+2", Trust.CLAIMED)


# --- from attributes to keys


@pytest.mark.parametrize(
    ("attributes", "keys"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"from": "+14155550100"}, [("phone", "+14155550100", "from")], id="a caller"),
        pytest.param(
            {"email": "Ada@example.com", "from": "+14155550100", "customer_id": "C-1001", "account_number": 17},
            [
                ("customer_id", "c-1001", "customer_id"),
                ("account_number", "17", "account_number"),
                ("phone", "+14155550100", "from"),
                ("email", "ada@example.com", "email"),
            ],
            id="in the order of the rules, a number among them",
        ),
        pytest.param(
            {"from": "+14155550100", "to": "+14155550199", "called": "+14155550199", "direction": "inbound"},
            [("phone", "+14155550100", "from")],
            id="they call us",
        ),
        pytest.param(
            {"from": "+14155550199", "caller": "+14155550199", "outbound_to": "+14155550100", "direction": "outbound"},
            [("phone", "+14155550100", "outbound_to")],
            id="we call them",
        ),
        pytest.param(
            {"to": "+14155550100", "from": "+14155550199", "direction": "Outbound-API"},
            [("phone", "+14155550100", "to")],
            id="outbound, as the Voice API spells it",
        ),
        pytest.param(
            {"from": "+14155550199", "caller": "client:dana", "outbound_to": "+14155550100"},
            [("phone", "+14155550100", "outbound_to")],
            id="we call them, without a direction",
        ),
        pytest.param(
            {"from": "+14155550198", "to": "+14155550199", "outbound_to": "+14155550100", "direction": "inbound"},
            [("phone", "+14155550100", "outbound_to")],
            id="we call them back, with the attributes of their call",
        ),
        pytest.param(
            {"customerAddress": "whatsapp:+14155550100", "direction": "outbound"},
            [("phone", "+14155550100", "customerAddress")],
            id="the customer's address in either direction",
        ),
        pytest.param(
            {"from": "+14155550100", "caller": "(415) 555-0100", "phone": "whatsapp"},
            [("phone", "+14155550100", "from")],
            id="the same number twice is one key",
        ),
        pytest.param(
            {"from": "415-555-0100 x12"},
            [("phone", "+14155550100;ext=12", "from"), ("phone", "+14155550100", "from")],
            id="an extension, then its switchboard",
        ),
        pytest.param(
            {"from": True, "caller": None, "phone": ["+14155550100"], "email": {"a": 1}, "customer_id": 1.5},
            [],
            id="what is neither text nor integer",
        ),
        pytest.param({"customer_id": "x" * 255, "email": "y" * 9999}, [], id="too long"),
        pytest.param({"customer_id": 10**5000, "account_number": -(10**5000)}, [], id="integers beyond text"),
        pytest.param({"customer_id": "a\ud800", "account_number": "\0"}, [], id="what no database holds"),
        pytest.param({"from": "customer_id:C-1001"}, [], id="an address that would be an id"),
    ],
)
def test_attributes_become_keys(attributes: dict[str, Any], keys: list[tuple[str, str, str]]) -> None:
    assert asked(attributes) == keys


@pytest.mark.parametrize("channel", ["web", "WEBCHAT", " chat "])
def test_on_web_chat_every_key_is_only_claimed(channel: str) -> None:
    keys = lookup_keys({"channelType": channel, "customer_id": "C-1", "email": "ada@example.com"}, RULES)
    assert {key.trust for key in keys.keys} == {Trust.CLAIMED}


@pytest.mark.parametrize("channel", ["voice", "whatsapp", None])
def test_on_other_channels_keys_are_verified(channel: Any) -> None:
    keys = lookup_keys({"channelType": channel, "from": "+14155550100"}, RULES)
    assert {key.trust for key in keys.keys} == {Trust.VERIFIED}


def test_a_key_can_have_a_trust_of_its_own() -> None:
    rules = KeyRules.parse("token:customer_id:verified, typed:email:claimed")
    attributes = {"token": "C-1", "typed": "ada@example.com"}
    for channel in ("web", "voice"):
        keys = lookup_keys({"channelType": channel, **attributes}, rules)
        assert [key.trust for key in keys.keys] == [Trust.VERIFIED, Trust.CLAIMED]


THEM, US = "+14155550151", "+14155550190"


@pytest.mark.parametrize(
    ("spec", "attributes", "attribute"),
    [
        pytest.param("to:phone:verified", {"to": THEM, "from": US, "direction": "inbound"}, "to", id="callback"),
        pytest.param("called:address:claimed", {"called": THEM, "caller": US}, "called", id="claimed"),
        pytest.param("from:phone:verified", {"from": THEM, "to": US, "direction": "outbound"}, "from", id="outbound"),
        pytest.param("to:phone:verified", {"to": US, "from": THEM}, "", id="a number of ours, whatever is said"),
        pytest.param("to:phone", {"to": THEM}, "", id="no trust is given"),
        pytest.param("from:phone:verified", {"from": THEM, "outbound_to": US}, "", id="ours beside outbound_to"),
        pytest.param("from:address:verified", {"from": THEM, "direction": "outbound"}, "", id="senders are trusted"),
    ],
)
def test_a_key_with_kind_and_trust_says_whose_address_it_is(
    spec: str, attributes: dict[str, Any], attribute: str
) -> None:
    expected = [("phone", THEM, attribute)] if attribute else []
    assert asked(attributes, KeyRules.parse(spec, own_numbers=[US])) == expected


@pytest.mark.parametrize(
    ("attributes", "trust"),
    [
        ({"channelType": "SMS"}, Trust.VERIFIED),
        ({"channelType": "whats-app"}, Trust.VERIFIED),
        ({"channelType": "email"}, Trust.CLAIMED),
        ({"channelType": "telegram"}, Trust.CLAIMED),
        ({"channelType": 7}, Trust.CLAIMED),
        ({"call_sid": "CA1"}, Trust.VERIFIED),
        ({}, Trust.CLAIMED),
    ],
    ids=str,
)
def test_verified_channels_can_be_listed_instead(attributes: dict[str, Any], trust: Trust) -> None:
    rules = KeyRules.parse("customer_id", verified_channels=["voice", "sms", "WhatsApp"])
    (key,) = lookup_keys({"customer_id": "C-1", **attributes}, rules).keys
    assert key.trust is trust


def test_work_without_a_channel_can_be_verified_by_name() -> None:
    (key,) = lookup_keys({"customer_id": "C-1"}, KeyRules.parse(verified_channels=["default"])).keys
    assert key.trust is Trust.VERIFIED


def test_of_the_same_key_the_verified_one_counts() -> None:
    rules = KeyRules.parse("typed:email:claimed, email")
    keys = lookup_keys({"typed": "ada@example.com", "email": "ADA@example.com"}, rules)
    assert [(key.attribute, key.trust) for key in keys.keys] == [("email", Trust.VERIFIED)]


def test_our_own_numbers_identify_nobody() -> None:
    rules = KeyRules.parse(own_numbers=["(415) 555-0199"])
    assert asked({"from": "+14155550199", "caller": "+14155550199;ext=3", "phone": "+14155550100"}, rules) == [
        ("phone", "+14155550100", "phone")
    ]


def test_nested_attributes_are_reached_by_dots() -> None:
    rules = KeyRules.parse("pre.email:email, pre.deep.case_ref")
    attributes = {"pre": {"email": "ada@example.com", "deep": {"case_ref": "K-9"}}}
    assert asked(attributes, rules) == [
        ("email", "ada@example.com", "pre.email"),
        ("case_ref", "k-9", "pre.deep.case_ref"),
    ]
    assert asked({"pre": ["email"]}, rules) == []


def test_at_most_eight_keys_are_asked_for() -> None:
    rules = KeyRules.parse(", ".join(f"id_{number}" for number in range(20)))
    assert len(asked({f"id_{number}": str(number) for number in range(20)}, rules)) == MAX_KEYS


@pytest.mark.parametrize(
    ("attributes", "withheld"),
    [
        ({"from": "anonymous", "caller": "+266696687"}, ("from", "caller")),
        ({"from": ""}, ("from",)),
        ({"phone": "private"}, ("phone",)),
        ({"phone": ""}, ()),
        ({"email": ""}, ()),
        ({"direction": "outbound", "from": "anonymous", "to": ""}, ()),
        ({"to": "anonymous"}, ()),
    ],
)
def test_only_a_caller_can_hide(attributes: dict[str, Any], withheld: tuple[str, ...]) -> None:
    keys = lookup_keys(attributes, RULES)
    assert (keys.keys, keys.withheld) == ((), withheld)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
ATTRIBUTE_NAMES = st.sampled_from([source.attribute for source in RULES.sources] + ["direction", "channelType"])


@settings(deadline=None)
@given(st.dictionaries(ATTRIBUTE_NAMES | st.text(), JSON_VALUES, max_size=8))
def test_no_attributes_make_lookup_keys_raise(attributes: dict[str, Any]) -> None:
    for key in lookup_keys(attributes, RULES).keys:
        key.value.encode()


# --- from candidates to one choice


@pytest.mark.parametrize(
    ("keys", "candidates", "match"),
    [
        pytest.param(
            make_keys(PHONE), found_by(PHONE, "C-1"), Matched("C-1", "Ada", PHONE), id="one key, one customer"
        ),
        pytest.param(
            make_keys(ACCOUNT, PHONE),
            found_by(PHONE, "C-1"),
            Matched("C-1", "Ada", PHONE),
            id="only the second key found",
        ),
        pytest.param(
            make_keys(ACCOUNT, PHONE),
            found_by(ACCOUNT, "C-1") + found_by(PHONE, "C-1"),
            Matched("C-1", "Ada", ACCOUNT),
            id="both agree; the first is named",
        ),
        pytest.param(
            make_keys(PHONE, MAIL),
            found_by(PHONE, "C-1", "C-2") + found_by(MAIL, "C-2"),
            Matched("C-2", "Grace", PHONE),
            id="the second narrows a shared number",
        ),
        pytest.param(
            make_keys(PHONE),
            found_by(PHONE, "C-2", "C-1"),
            Ambiguous(tuple(found_by(PHONE, "C-1", "C-2")), PHONE),
            id="two share a number",
        ),
        pytest.param(
            make_keys(PHONE, MAIL),
            found_by(PHONE, "C-1") + found_by(MAIL, "C-2"),
            Ambiguous((*found_by(PHONE, "C-1"), *found_by(MAIL, "C-2")), PHONE),
            id="keys that contradict each other",
        ),
        pytest.param(
            make_keys(TYPED), found_by(TYPED, "C-1"), Claimed(tuple(found_by(TYPED, "C-1")), TYPED), id="only claimed"
        ),
        pytest.param(
            make_keys(TYPED, TYPED_PHONE),
            found_by(TYPED, "C-1", "C-2") + found_by(TYPED_PHONE, "C-2", "C-3"),
            Claimed(tuple(found_by(TYPED, "C-2")), TYPED),
            id="claimed keys narrow each other, too",
        ),
        pytest.param(
            make_keys(TYPED, PHONE),
            found_by(TYPED, "C-2") + found_by(PHONE, "C-1"),
            Matched("C-1", "Ada", PHONE),
            id="a claim does not count beside evidence",
        ),
        pytest.param(
            make_keys(PHONE, TYPED),
            found_by(TYPED, "C-2"),
            Claimed(tuple(found_by(TYPED, "C-2")), TYPED),
            id="a claim counts when evidence found nobody",
        ),
        pytest.param(make_keys(PHONE), [], NoMatch(NoMatchReason.NO_SUCH_KEY), id="nobody has it"),
        pytest.param(
            make_keys(PHONE, withheld=("from",)),
            [],
            NoMatch(NoMatchReason.NO_SUCH_KEY),
            id="nobody has it, caller hides",
        ),
        pytest.param(make_keys(withheld=("from",)), [], NoMatch(NoMatchReason.WITHHELD), id="the caller hides"),
        pytest.param(make_keys(), [], NoMatch(NoMatchReason.NO_KEY), id="nothing to look with"),
        pytest.param(
            make_keys(PHONE), found_by(MAIL, "C-1"), NoMatch(NoMatchReason.NO_SUCH_KEY), id="rows that nobody asked for"
        ),
    ],
)
def test_the_choice(keys: LookupKeys, candidates: list[Candidate], match: Any) -> None:
    assert choose(keys, candidates) == match


EXTENSION = make_key("+1;ext=12", attribute="from")
SWITCHBOARD = make_key("+1", attribute="from")


def test_an_extension_that_finds_somebody_outranks_its_switchboard() -> None:
    candidates = found_by(EXTENSION, "C-1") + found_by(SWITCHBOARD, "C-1", "C-2", "C-3")
    assert choose(make_keys(EXTENSION, SWITCHBOARD), candidates) == Matched("C-1", "Ada", EXTENSION)


def test_an_unknown_extension_leaves_the_switchboard() -> None:
    candidates = found_by(SWITCHBOARD, "C-2")
    assert choose(make_keys(EXTENSION, SWITCHBOARD), candidates) == Matched("C-2", "Grace", SWITCHBOARD)


def test_a_crowd_does_not_contradict_a_better_key() -> None:
    """The store cuts a key off at MAX_CANDIDATES_PER_KEY, so a customer who is not among those may still have it."""
    crowd = found_by(PHONE, *(f"X-{number:03}" for number in range(MAX_CANDIDATES_PER_KEY)))
    assert choose(make_keys(PHONE, ACCOUNT), crowd + found_by(ACCOUNT, "C-1")) == Matched("C-1", "Ada", ACCOUNT)
    match = choose(make_keys(PHONE), crowd)
    assert isinstance(match, Ambiguous)
    assert len(match.candidates) == MAX_CANDIDATES_PER_KEY


KEYS = st.lists(
    st.builds(
        make_key,
        st.sampled_from(["+1", "+2", "+3", "+4"]),
        st.sampled_from(Trust),
        attribute=st.sampled_from(["from", "caller", "phone"]),
    ),
    unique_by=lambda key: key.value,
    max_size=4,
)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(list(NAMES)),
        st.sampled_from(["Ada", "Grace"]),
        st.just("phone"),
        st.sampled_from(["+1", "+2", "+3", "+4"]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(KEYS, CANDIDATES, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing(
    keys: list[LookupKey], candidates: list[Candidate], chance: random.Random
) -> None:
    shuffled = chance.sample(candidates, len(candidates))
    all_keys = make_keys(*keys)
    match = choose(all_keys, candidates)
    assert choose(all_keys, [*shuffled, *shuffled[:2]]) == match
    assert explain(all_keys, shuffled, match) == explain(all_keys, candidates, match)


@settings(deadline=None)
@given(KEYS, CANDIDATES)
def test_nobody_is_identified_by_claims_alone(keys: list[LookupKey], candidates: list[Candidate]) -> None:
    match = choose(make_keys(*keys), candidates)
    if isinstance(match, Matched | Ambiguous):
        assert match.key.trust is Trust.VERIFIED
    if isinstance(match, Ambiguous):
        assert len(match.candidates) > 1
    if isinstance(match, Ambiguous | Claimed):
        ids = [one.customer_id for one in match.candidates]
        assert ids == sorted(set(ids))
        assert ids


def test_an_explanation_says_what_each_key_found() -> None:
    keys = make_keys(ACCOUNT, PHONE, withheld=("caller",))
    candidates = found_by(PHONE, "C-2", "C-1")
    explanation = explain(keys, candidates, choose(keys, candidates))
    assert json.loads(json.dumps(explanation)) == {
        "keys": [
            {"kind": "account_number", "value": "a-17", "trust": "verified", "attribute": "from_a-17", "found": 0},
            {"kind": "phone", "value": "+1", "trust": "verified", "attribute": "from_+1", "found": 2},
        ],
        "withheld": ["caller"],
        "unknown": [],
        "candidates": [{"customer_id": "C-1", "name": "Ada"}, {"customer_id": "C-2", "name": "Grace"}],
    }


def test_an_explanation_of_a_match_names_the_customer() -> None:
    keys = make_keys(PHONE)
    candidates = found_by(PHONE, "C-1")
    explanation = explain(keys, candidates, choose(keys, candidates))
    assert explanation["candidates"] == [{"customer_id": "C-1", "name": "Ada"}]
    assert explain(keys, [], choose(keys, []))["candidates"] == []


@pytest.mark.parametrize(
    "channel",
    ["web", "WebChat", "web-chat", "web_chat", "ｗｅｂ", "we\u200bb", " chat ", ["web"], {"a": 1}, 7, True],
)
def test_however_a_claimed_channel_is_written_its_keys_are_claims(channel: object) -> None:
    keys = lookup_keys({"channelType": channel, "email": "ada@example.com"}, KeyRules.parse())
    assert [key.trust for key in keys.keys] == [Trust.CLAIMED]


@pytest.mark.parametrize("channel", [None, "", "voice", "sms", "whatsapp"])
def test_other_channels_vouch_for_their_keys(channel: object) -> None:
    keys = lookup_keys({"channelType": channel, "from": "+14155550100"}, KeyRules.parse())
    assert [key.trust for key in keys.keys] == [Trust.VERIFIED]


def test_a_number_that_a_sip_user_gives_is_claimed_unless_the_rules_trust_it() -> None:
    task = {"from": "sip:+14155550100@elsewhere.example"}
    assert [key.trust for key in lookup_keys(task, KeyRules.parse()).keys] == [Trust.CLAIMED]
    trusting = KeyRules.parse("from:address:verified")
    assert [key.trust for key in lookup_keys(task, trusting).keys] == [Trust.VERIFIED]


def test_a_switchboard_does_not_vouch_for_an_unknown_extension() -> None:
    keys = lookup_keys({"from": "+1 415 555 0100 ext 13"}, KeyRules.parse())
    assert [(key.value, key.trust) for key in keys.keys] == [
        ("+14155550100;ext=13", Trust.VERIFIED),
        ("+14155550100", Trust.CLAIMED),
    ]
    colleague = Candidate("C-12", "At extension 12", "phone", "+14155550100")
    assert isinstance(choose(keys, [colleague]), Claimed)


def test_two_crowds_are_not_narrowed_by_the_parts_that_are_known_of_them() -> None:
    keys = lookup_keys({"from": "+14155550100", "phone": "+14155550101"}, KeyRules.parse())
    first = [Candidate(f"C{n:03}", "x", "phone", "+14155550100") for n in range(MAX_CANDIDATES_PER_KEY)]
    second = [
        Candidate(f"C{n:03}", "x", "phone", "+14155550101")
        for n in range(MAX_CANDIDATES_PER_KEY - 1, 2 * MAX_CANDIDATES_PER_KEY - 1)
    ]
    assert isinstance(choose(keys, [*first, *second]), Ambiguous)


PINNED = LookupKeys((make_key("+14155550100"),), task_sid="WT1")


def test_what_staff_said_of_a_task_stands_above_its_keys() -> None:
    candidates = (
        Candidate("C-1", "Ada", "phone", "+14155550100"),
        Candidate("C-2", "Grace", "staff", "WT1"),
    )
    match = choose(PINNED, candidates)
    assert match == Matched("C-2", "Grace", LookupKey("staff", "WT1", Trust.VERIFIED, "TaskSid"))
    finding = explain(PINNED, candidates, match)
    assert [(key["kind"], key["found"]) for key in finding["keys"]] == [("staff", 1), ("phone", 1)]
    assert finding["candidates"] == [{"customer_id": "C-2", "name": "Grace"}]


def test_staff_can_say_that_it_is_nobody_who_was_found() -> None:
    candidates = (Candidate("C-1", "Ada", "phone", "+14155550100"), Candidate("", "", "staff", "WT1"))
    match = choose(PINNED, candidates)
    assert match == NoMatch(NoMatchReason.SET_BY_STAFF)
    assert explain(PINNED, candidates, match)["keys"][0] | {"found": 0} == explain(PINNED, candidates, match)["keys"][0]


def test_what_was_said_of_another_task_says_nothing_here() -> None:
    candidates = (Candidate("C-2", "Grace", "staff", "WT2"),)
    assert choose(PINNED, candidates) == NoMatch(NoMatchReason.NO_SUCH_KEY)
    assert choose(LookupKeys(), candidates) == NoMatch(NoMatchReason.NO_KEY)


# --- a number stored with an extension is evidence only with it


def stored(customer_id: str, as_written: str, value: str = "+14155550140", kind: str = "phone") -> Candidate:
    return Candidate(customer_id, NAMES.get(customer_id, "Somebody"), kind, value, as_written)


AT_AN_EXTENSION = [
    "+1 415 555 0140 x12",
    "415-555-0140 ext. 12",
    "+14155550140;ext=12",
    "(415) 555-0140 #12",
    "011 1 415 555 0140, x12",
    "tel:+1-415-555-0140;ext=12",
    "415-555-0140; 12",
]


@pytest.mark.parametrize("as_written", AT_AN_EXTENSION)
def test_a_switchboard_is_no_evidence_for_an_extension(as_written: str) -> None:
    keys = lookup_keys({"from": "+14155550140"}, RULES)
    match = choose(keys, [stored("C-1", as_written)])
    assert isinstance(match, Claimed)
    assert ([one.customer_id for one in match.candidates], match.key.trust) == (["C-1"], Trust.CLAIMED)
    assert [key["found"] for key in explain(keys, [stored("C-1", as_written)], match)["keys"]] == [1]


@pytest.mark.parametrize("as_written", ["+1 415 555 0140", "whatsapp:+14155550140", "tel:+1-415-555-0140", ""])
def test_a_number_without_extension_is_evidence(as_written: str) -> None:
    keys = lookup_keys({"from": "+14155550140"}, RULES)
    assert isinstance(choose(keys, [stored("C-1", as_written)]), Matched)


def test_who_has_the_number_itself_comes_before_who_has_an_extension() -> None:
    keys = lookup_keys({"from": "+14155550140"}, RULES)
    candidates = [stored("C-1", "+1 415 555 0140 x12"), stored("C-2", "+1 415 555 0140")]
    assert choose(keys, candidates) == Matched("C-2", "Grace", keys.keys[0])


def test_other_evidence_comes_before_a_switchboard() -> None:
    keys = lookup_keys({"from": "+14155550140", "email": "grace@example.com"}, RULES)
    candidates = [stored("C-1", "+1 415 555 0140 x12"), stored("C-2", "", "grace@example.com", "email")]
    match = choose(keys, candidates)
    assert isinstance(match, Matched)
    assert match.customer_id == "C-2"


def test_of_a_crowd_at_one_switchboard_nobody_has_the_number_itself() -> None:
    """The store cut them off, so that others with the bare number may be missing."""
    keys = lookup_keys({"from": "+14155550140"}, RULES)
    crowd = [stored(f"X-{number:03}", f"+1 415 555 0140 x{number}") for number in range(1, MAX_CANDIDATES_PER_KEY)]
    assert isinstance(choose(keys, [stored("X-000", "+1 415 555 0140"), *crowd]), Claimed)
    assert isinstance(choose(keys, [stored("X-000", "+1 415 555 0140"), *crowd[1:]]), Matched)


# --- an id as written decides


@pytest.mark.parametrize("kind", ["customer_id", "account_number"])
@pytest.mark.parametrize(
    ("written", "in_store", "matched"),
    [
        ("AbC", ["AbC", "abc"], "AbC"),
        ("abc", ["AbC", "abc"], "abc"),
        (" AbC ", ["AbC", "abc"], "AbC"),
        ("ＡbＣ", ["AbC", "abc"], "AbC"),
        ("AbC", ['="AbC"', "abc"], '="AbC"'),
        ("ABC", ["abc"], "abc"),
        ("abc", ["ABC"], "ABC"),
        ("ABC", ["AbC", "abc"], None),
    ],
)
def test_an_id_as_it_is_written_decides(kind: str, written: str, in_store: list[str], matched: str | None) -> None:
    keys = lookup_keys({kind: written}, RULES)
    match = choose(keys, [stored(one, one, "abc", kind) for one in in_store])
    if matched is None:
        assert isinstance(match, Ambiguous)
    else:
        assert isinstance(match, Matched)
        assert match.customer_id == matched


def test_the_ids_of_a_channel_are_compared_without_its_prefix() -> None:
    keys = lookup_keys({"from": "line:U4af49806292"}, RULES)
    candidates = [
        stored("C-1", "u4AF49806292", "u4af49806292", "line"),
        stored("C-2", "line:U4af49806292", "u4af49806292", "line"),
    ]
    match = choose(keys, candidates)
    assert isinstance(match, Matched)
    assert match.customer_id == "C-2"


@given(st.lists(st.text(st.sampled_from("aAbBß1"), min_size=1, max_size=3), min_size=1, unique=True), st.data())
def test_whoever_has_an_id_as_written_is_the_one(ids: list[str], data: st.DataObject) -> None:
    asked_for = data.draw(st.sampled_from(ids))
    keys = lookup_keys({"customer_id": asked_for}, RULES)
    (key,) = keys.keys
    candidates = [
        stored(one, one, key.value, "customer_id")
        for one in ids
        if [other.value for other in lookup_keys({"customer_id": one}, RULES).keys] == [key.value]
    ]
    assert choose(keys, candidates) == Matched(asked_for, "Somebody", key)


# --- doubt, and forms that are not known


@pytest.mark.parametrize(
    ("text", "region"), [("49 221 555010", "DE"), ("98555-0100", "BR"), ("(415) 555-0100 / 555-0101", "US")]
)
@pytest.mark.parametrize("spec", ["from", "from:address:verified", "from:phone:verified"])
def test_what_can_be_read_in_two_ways_is_at_most_a_claim(text: str, region: str, spec: str) -> None:
    keys = lookup_keys({"from": text}, KeyRules.parse(spec, region=region))
    assert {key.trust for key in keys.keys} == {Trust.CLAIMED}


@pytest.mark.parametrize("attribute", ["from", "phone", "email"])
def test_a_sip_user_claims_the_number_in_every_attribute(attribute: str) -> None:
    keys = lookup_keys({attribute: "sip:+14155550100@example.com"}, RULES)
    assert [(key.value, key.trust) for key in keys.keys] == [("+14155550100", Trust.CLAIMED)]


def test_several_numbers_of_one_attribute_are_evidence_each() -> None:
    keys = lookup_keys({"phone": "+14155550110; +14155550111"}, RULES)
    one, other = stored("C-1", "", "+14155550110"), stored("C-2", "", "+14155550111")
    assert isinstance(choose(keys, [one]), Matched)
    assert isinstance(choose(keys, [other]), Matched)
    assert isinstance(choose(keys, [one, other]), Ambiguous)


@pytest.mark.parametrize(
    ("attributes", "reason", "unknown"),
    [
        ({"from": "gbm:a1b2c3"}, NoMatchReason.UNKNOWN_FORM, ("from",)),
        (
            {"from": "gbm:a1b2c3", "phone": "12345", "email": "ada"},
            NoMatchReason.UNKNOWN_FORM,
            ("from", "phone", "email"),
        ),
        ({"from": ["+14155550100"]}, NoMatchReason.UNKNOWN_FORM, ("from",)),
        ({"customer_id": "x" * 255}, NoMatchReason.UNKNOWN_FORM, ("customer_id",)),
        ({"from": "gbm:a1b2c3", "caller": "anonymous"}, NoMatchReason.WITHHELD, ("from",)),
        ({"from": "gbm:a1b2c3", "phone": "+14155550100"}, NoMatchReason.NO_SUCH_KEY, ("from",)),
        ({"direction": "outbound", "to": "gbm:a1b2c3", "from": "gbm:ours"}, NoMatchReason.UNKNOWN_FORM, ("to",)),
        ({"to": "gbm:ours"}, NoMatchReason.NO_KEY, ()),
        (
            {"phone": "", "email": " ", "customer_id": None, "account_number": False, "caller": []},
            NoMatchReason.NO_KEY,
            (),
        ),
        ({"type": "letter"}, NoMatchReason.NO_KEY, ()),
    ],
)
def test_no_contact_details_is_said_only_where_there_are_none(
    attributes: dict[str, Any], reason: NoMatchReason, unknown: tuple[str, ...]
) -> None:
    keys = lookup_keys(attributes, RULES)
    match = choose(keys, ())
    assert (match, keys.unknown) == (NoMatch(reason), unknown)
    assert explain(keys, (), match)["unknown"] == list(unknown)


@pytest.mark.parametrize("value", [4155550100, 4155550100.0])
def test_a_number_that_json_holds_as_a_number_is_read(value: float) -> None:
    assert asked({"phone": value}) == [("phone", "+14155550100", "phone")]
