"""The policy file: what it means, and everything that can be wrong with it, told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.domain.matches import Trust
from enrich.errors import PolicyError, SettingsError
from enrich.flows import rules as flows_rules
from enrich.flows.rules import read_file, rules_of, vocabulary
from enrich.policy.file import TABLES, Policy, read_policy
from enrich.policy.vocabulary import MATCH_FIELDS

HERE = Path(__file__).parent
DOCUMENT = (HERE.parent.parent / "docs" / "policy.md").read_text()
ACTIVITY = "WA" + "a" * 32


def read(text: str) -> Policy:
    return read_file(text, "policy.toml", attribute="crm", region="US")


def told(text: str) -> list[str]:
    return [str(problem) for problem in read_policy(text, vocabulary("crm", "US"))[1].found]


def test_an_empty_file_says_nothing() -> None:
    assert read("") == Policy()


def test_rules_keep_their_order_and_their_words() -> None:
    policy = read("""
        [[rules]]
        name = "Gold"
        when = 'customer.tier == "gold"'
        instruction = "conference"
        from = "{task.to}"
        end_conference_on_exit = true
        timeout = 20

        [[rules]]
        name = "Everybody"
        instruction = "defer"
    """)
    first, second = policy.rules
    assert (first.name, first.when and first.when.text) == ("Gold", 'customer.tier == "gold"')
    assert list(first.action.parameters) == ["from", "end_conference_on_exit", "timeout"]
    assert [reference.text for reference in first.references] == ["customer.tier", "task.to"]
    assert (second.name, second.when, second.action.instruction) == ("Everybody", None, "defer")


def test_a_default_is_a_word_or_a_table() -> None:
    policy = read("""
        [defaults]
        chat = "accept"
        default = "defer"

        [defaults.voice]
        instruction = "dequeue"
        from = "+14155550000"
    """)
    assert {channel: action.instruction for channel, action in policy.defaults.items()} == {
        "chat": "accept",
        "default": "defer",
        "voice": "dequeue",
    }


def test_what_the_context_says_goes_before_the_settings() -> None:
    policy = read("""
        [context]
        fields = ["name", "tier"]
        drop = ["tier"]
        keys = ["account", "from", "typed:email:claimed"]
        own_numbers = ["+1 617 555 0142"]
        claimed_channels = ["web"]
        [context.projections]
        customers.external_id = "{customer.id}"
        "customers.name" = "{customer.name}"
    """)
    rules = rules_of(
        policy,
        attribute="crm",
        lookup_keys="phone",
        region="US",
        own_numbers=("+1 617 555 0199",),
        claimed_channels=("chat",),
        default_instruction="auto",
        accept_via="callback",
    )
    assert [(each.attribute, each.kind, each.trust) for each in rules.keys.sources] == [
        ("account", "account", None),
        ("from", "address", None),
        ("typed", "email", Trust.CLAIMED),
    ]
    assert rules.keys.own_numbers == {"+16175550142"}
    assert rules.keys.claimed_channels == {"web"}
    assert rules.shape.fields == {"name", "tier"}
    assert list(rules.shape.drop_order) == ["tier"]
    assert [each.path for each in policy.context.projections] == [("customers", "external_id"), ("customers", "name")]


def test_what_the_context_does_not_say_the_settings_do() -> None:
    rules = rules_of(
        read("[context]\nfields = []"),
        attribute="crm",
        lookup_keys="phone",
        region="US",
        own_numbers=(),
        claimed_channels=("chat",),
        default_instruction="auto",
        accept_via="callback",
    )
    assert [each.attribute for each in rules.keys.sources] == ["phone"]
    assert rules.keys.claimed_channels == {"chat"}
    assert rules.shape.fields == frozenset()


def test_a_setting_that_looks_up_by_what_is_projected_is_refused() -> None:
    """A finding of ours must not become evidence for itself."""
    policy = read('[context.projections]\ncustomers.external_id = "{customer.id}"')
    with pytest.raises(SettingsError, match="is written by this service itself"):
        rules_of(
            policy,
            attribute="crm",
            lookup_keys="customers.external_id:customer_id",
            region="US",
            own_numbers=(),
            claimed_channels=(),
            default_instruction="auto",
            accept_via="callback",
        )


def rule(body: str) -> str:
    return f'[[rules]]\nname = "r"\n{body}'


MISTAKES = [
    ("x = [", "the file: not TOML: Invalid value"),
    ("[rulez]", "[rulez]: there is no such table; did you mean 'rules'?"),
    ("[rules]", "[[rules]]: must be tables, each under its own [[rules]]"),
    ('[[rules]]\ninstruction = "defer"', "rule 1, name: needed"),
    (rule('instruction = "defer"') + "\n" + rule('when = "1==1"\ninstruction = "defer"'), "rule 2 'r', name: another"),
    (rule(""), "rule 1 'r', instruction: missing; there are defer, accept, reject"),
    (rule('instructon = "accept"'), "rule 1 'r', instruction: missing; did you mean it by 'instructon'?"),
    (rule('instruction = "acept"'), "rule 1 'r', instruction: 'acept' is no instruction; did you mean 'accept'?"),
    (rule("instruction = 3"), "rule 1 'r', instruction: 3 is no instruction"),
    (rule('instruction = "accept"\nto = "x"'), "rule 1 'r', to: accept has no such parameter; it takes none"),
    (
        rule('instruction = "dequeue"\ntimout = 3'),
        "timout: dequeue has no such parameter; did you mean 'timeout'",
    ),
    (
        rule('instruction = "dequeue"\nwen = "1==1"'),
        "wen: dequeue has no such parameter; did you mean 'when'",
    ),
    (rule('instruction = "dequeue"\ntimeout = 1000'), "rule 1 'r', timeout: 1000 is outside 1 to 999"),
    (rule('instruction = "dequeue"\ntimeout = 2.5'), "rule 1 'r', timeout: must be a whole number"),
    (rule('instruction = "dequeue"\nrecord = true'), "rule 1 'r', record: must be do-not-record or"),
    (rule('instruction = "dequeue"\nto = 2026-11-24'), "rule 1 'r', to: must be text"),
    (rule('instruction = "call"\nfrom = "+1"'), "rule 1 'r', url: missing, and call needs it"),
    (rule('instruction = "call"\nfrom = "+1"\nurl = "greet"'), "rule 1 'r', url: must be an http(s) address"),
    (rule('instruction = "call"\nfrom = "+1"\nurl = "{task.url}"'), "rule 1 'r', url: must begin with https://a.host/"),
    (rule('instruction = "reject"'), "rule 1 'r', activity_sid: missing, and reject needs it"),
    (
        rule('instruction = "reject"\nactivity_sid = "Offline"'),
        "activity_sid: must be the SID of an activity",
    ),
    (rule('instruction = "dequeue"\nto = "{task.to"'), "rule 1 'r', to: at character 1 is a single '{'"),
    (rule('instruction = "dequeue"\nto = "{task to}"'), "rule 1 'r', to: 'task to' is no reference"),
    (rule('instruction = "dequeue"\nto = "{customer.phone}"'), "rule 1 'r', to: customer has no 'phone'"),
    (rule('instruction = "defer"\nwhen = true'), "rule 1 'r', when: must be a condition in quotes"),
    (rule('instruction = "defer"\nwhen = ""'), "rule 1 'r', when: it is empty"),
    (rule('instruction = "defer"\nwhen = "task.a =~ 1"'), "rule 1 'r', when: not understood from character 9 on"),
    (
        rule('instruction = "defer"\nwhen = "tier == 1"'),
        "tier: references begin with task, worker, customer",
    ),
    (rule('instruction = "defer"\nwhen = "task == 1"'), "when: task is an object; name a member of it"),
    (rule("instruction = \"defer\"\nwhen = 'customer.teir == 1'"), "customer has no 'teir'; did you mean 'tier'?"),
    (
        rule("instruction = \"defer\"\nwhen = 'match.sort == 1'"),
        "match has no 'sort'; there are kind, by, trust",
    ),
    (rule("instruction = \"defer\"\nwhen = 'task.crm.tier == 1'"), "rule 'r', task.crm.tier: we write that ourselves"),
    (
        rule("instruction = \"defer\"\nwhen = 'task.customers.name == 1'")
        + '\n[context.projections]\ncustomers.name = "{customer.name}"',
        "rule 'r', task.customers.name: we write that ourselves",
    ),
    (
        rule('instruction = "defer"') + '\n[[rules]]\nname = "s"\ninstruction = "accept"',
        "rule 's': never reached",
    ),
    ("defaults = 3", "[defaults]: must be a table"),
    ("[defaults]\nvoice = 3", "[defaults], voice: must be an instruction's name"),
    ('[defaults]\nvoice = "deque"', "[defaults], voice: 'deque' is no instruction; did you mean 'dequeue'?"),
    ("[defaults.voice]\nfrom = 'x'", "[defaults.voice], instruction: missing"),
    ("[defaults.voice]\ninstruction = 'conference'", "[defaults.voice], from: missing, and conference needs it"),
    ("context = 3", "[context]: must be a table"),
    ("[context]\nfield = []", "[context], field: there is no such key; did you mean 'fields'?"),
    ("[context]\nfields = 'name'", "[context], fields: must be a list of texts"),
    ("[context]\nfields = ['nam']", "[context], fields: 'nam' is not one of them; did you mean 'name'?"),
    ("[context]\ndrop = ['match']", "[context], drop: 'match' is not one of them"),
    ("[context]\nkeys = []", "[context], keys: is empty"),
    ("[context]\nkeys = ['a:b:sure']", "[context], keys: 'a:b:sure': 'sure' is neither verified nor claimed"),
    ("[context]\nkeys = ['crm.customer_id']", "[context], keys: 'crm.customer_id' is written by this service itself"),
    ("[context]\nkeys = ['a, b']", "[context], keys: 'a, b': each key is a text of its own"),
    ("[context]\nown_numbers = ['12']", "[context], own_numbers: '12' is not a phone number"),
    ("[context]\nprojections = 3", "[context.projections]: must be a table"),
    ("[context.projections]\na = 3", "[context.projections], a: must be a text such as"),
    ("[context.projections]\na = '{customer.id'", "[context.projections], a: at character 1 is a single '{'"),
    ("[context.projections]\na = '{customer.idd}'", "[context.projections], a: customer has no 'idd'"),
    ("[context.projections]\na = '{task.name}'", "[context.projections], a: task.name: only customer.* and match.*"),
    ("[context.projections]\n'a-b' = 'x'", "[context.projections], a-b: must be names of letters"),
    ("[context.projections]\n'a.b.c.d.e' = 'x'", "[context.projections], a.b.c.d.e: must be names of letters"),
    ("[context.projections]\ncrm.x = 'x'", "[context.projections], crm.x: crm is our block's own"),
    ("[context.projections]\ncall_sid = 'x'", "[context.projections], call_sid: belongs to TaskRouter or Flex"),
    ("[context.projections]\nconference.x = 'x'", "[context.projections], conference.x: belongs to TaskRouter"),
    ("[context.projections]\na = 'x'\n'a.b' = 'y'", "[context.projections], a.b: clashes with a"),
    (
        "[context]\nkeys = ['customers.external_id:customer_id']\n[context.projections]\ncustomers.external_id = 'x'",
        "[context], keys: 'customers.external_id:customer_id' is written by this service itself",
    ),
    ("timeouts = 3", "timeout must be a table"),
    ("[wrapup]\ncomplete_after_s = 'soon'", "[wrapup], complete_after_s: must be a whole number"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_to_do(text: str, message: str) -> None:
    found = told(text)
    assert any(message in problem for problem in found), found


def test_a_file_with_a_mistake_of_every_kind_is_told_in_full() -> None:
    """mistakes.txt is what its writer reads, to the letter."""
    with pytest.raises(PolicyError) as caught:
        read_file((HERE / "mistakes.toml").read_text(), "mistakes.toml", attribute="crm", region="US")
    assert str(caught.value) == (HERE / "mistakes.txt").read_text().rstrip("\n")


def test_a_condition_that_is_wrong_does_not_make_a_rule_apply_always() -> None:
    text = rule("instruction = \"accept\"\nwhen = 'task.a'") + '\n[[rules]]\nname = "s"\ninstruction = "accept"'
    assert [problem.partition(":")[0] for problem in told(text)] == ["rule 1 'r', when"]


def test_everything_that_is_wrong_is_told_at_once_with_the_file() -> None:
    text = """
        [[rules]]
        name = "Gold"
        when = 'customer.teir = "gold" &&'
        instruction = "conferance"

        [[rules]]
        name = "Busy"
        when = 'worker.load > '
        instruction = "reject"

        [context]
        fields = ["nam"]
    """
    with pytest.raises(PolicyError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("policy.toml:\n  ")
    assert message.count("\n  ") == 5
    for part in ("rule 1 'Gold', when", "rule 1 'Gold', instruction", "rule 2 'Busy', when", "activity_sid", "fields"):
        assert part in message


def test_a_parameter_may_be_named_for_everything_that_taskrouter_knows() -> None:
    values = {
        "activity_sid": ACTIVITY,
        "post_work_activity_sid": ACTIVITY,
        "call_sid": "CA" + "c" * 32,
    }
    for name, parameters in flows_rules.vocabulary("crm", "US").instructions.items():
        body = [f'instruction = "{name}"']
        for key, parameter in parameters.items():
            if key in values:
                body.append(f'{key} = "{values[key]}"')
            elif parameter.is_address:
                body.append(f'{key} = "https://calls.example.com/x?c={{customer.id}}"')
            elif parameter.is_required:
                body.append(f'{key} = "{{task.{key}|x}}"')
        assert told(rule("\n".join(body))) == []


def test_the_document_names_every_instruction_parameter_field_and_key() -> None:
    for name, parameters in flows_rules.vocabulary("crm", "US").instructions.items():
        (line,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |")]
        for key in parameters:
            base = key.removesuffix("_method").removesuffix("_event")
            assert f"`{key}`" in line or f"`{base}` with `_method`" in line, (name, key)
    for field in (*flows_rules.CUSTOMER_FIELDS, *MATCH_FIELDS, *TABLES):
        assert f"`{field}`" in DOCUMENT or f"[{field}]" in DOCUMENT, field


def test_the_worked_example_is_a_good_policy() -> None:
    example = DOCUMENT.partition("## A worked example")[2].partition("Ada Lovelace, who is gold, calls.")[0]
    text = "\n".join(line for line in example.splitlines() if line.startswith("    "))
    assert [rule.name for rule in read(text).rules] == ["Gold customers are put through by conference"]
    assert list(read(text).defaults) == ["chat", "default", "voice"]
