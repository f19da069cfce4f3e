"""`flask taskrouter policy`: check the policy file, or test it on one callback. Nothing is sent or stored."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click
from flask.cli import with_appcontext

from enrich import errors
from enrich.cli.base import Group
from enrich.domain.matches import Matched
from enrich.domain.outcomes import EntryKind
from enrich.domain.sids import is_sid
from enrich.flows import decision
from enrich.flows.adapters import Adapters
from enrich.flows.decision import Considered, InstructionDecision
from enrich.flows.enrichment import Enricher
from enrich.flows.run import EnrichmentRun
from enrich.policy.file import Policy
from enrich.services import current_services, read_policy_file, rules_of
from enrich.taskrouter import callbacks, instructions
from enrich.taskrouter.callbacks import AssignmentCallback, Form

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("policy", cls=Group)
def policy() -> None:
    """The policy file: which instruction is given, and when."""


@policy.command("check")
@click.argument("file", type=_FILE, required=False)
@with_appcontext
def check(file: Path | None) -> None:
    """Check FILE, or the file of ENRICH_POLICY, and list every problem; exit status 1 if there is one."""
    settings = current_services().settings
    path = file or settings.policy
    if path is None:
        raise click.UsageError("Give a FILE, or set ENRICH_POLICY.")
    checked_policy = read_policy_file(settings, path)
    for warning in decision.advice(rules_of(settings, checked_policy)):
        click.echo(f"note: {warning}")
    click.echo(f"{path}: {_summary(checked_policy)}: OK")


@policy.command("test")
@click.argument("source")
@click.option("--policy", "file", type=_FILE, help="Policy file to use instead of ENRICH_POLICY.")
@click.option("--nobody-looked", is_flag=True, help="As if the look-up had failed: customer and match are NULL.")
@with_appcontext
def test(source: str, file: Path | None, nobody_looked: bool) -> None:
    """Show which rule decides one callback, why the others do not, and the answer to TaskRouter.

    SOURCE: the SID of a reservation, or the number of an entry, that the journal has; else a file with a callback's
    form, as it is sent or as a JSON object; - for standard input. The customer is looked up as of now.
    """
    services = current_services()
    if file is None:
        services.require_policy()
    rules = rules_of(services.settings, read_policy_file(services.settings, file)) if file else services.rules
    callback = callbacks.assignment_callback(EntryKind.ASSIGNMENT, _form(source), b"", services.adapters.now())
    run = EnrichmentRun()
    block = None if nobody_looked else _look_up(run, callback, Enricher(services.adapters, rules))
    stored_channel = partial(_stored_channel, services.adapters, callback)

    click.echo(f"customer   {_customer(run)}")
    click.echo(f"channel    {decision.channel_of(callback, stored_channel())}")
    if block is not None:
        click.echo(f"{rules.attribute + ':':10} {_compact(block)}")
    for projection in run.projected:
        value = "nothing" if projection.value is None else json.dumps(projection.value, ensure_ascii=False)
        click.echo(f"{'.'.join(projection.path)}: {value}")
    click.echo("")
    rule_results = decision.consider(callback, run, rules, stored_channel)
    for result in rule_results:
        click.echo(_line(result))
    answer = decision.decide(callback, run, rules, stored_channel)
    # The rules that were skipped are listed above already; the rest are defaults of channels.
    listed = sum(result.applies and result.instruction is None for result in rule_results)
    for skipped in answer.skipped[listed:]:
        click.echo(f"skip  {skipped.rule}: {skipped.reason}")
    click.echo(f"\ndecided by {_decided_by(answer)}")
    click.echo(f"answer     {instructions.to_json(answer.instruction)}")
    fields = instructions.rest_form(answer.instruction)
    click.echo(f"over REST  {' '.join(f'{name}={value}' for name, value in fields) if fields else 'not possible'}")


def _summary(checked_policy: Policy) -> str:
    defaults = f"defaults for {', '.join(checked_policy.defaults)}" if checked_policy.defaults else "no defaults"
    return f"{len(checked_policy.rules)} rules, {defaults}, {len(checked_policy.context.projections)} projections"


# --- the callback


def _form(source: str) -> Form:
    """Return the form of the callback that SOURCE names. Raises ClickException if there is none."""
    if re.fullmatch(r"[0-9]{1,18}", source) or is_sid(source, "WR"):
        body = current_services().adapters.journal.stored_form(source)
        if not body:
            raise click.ClickException(f"{source}: the journal has no such callback")
        return callbacks.read_form(callbacks.split_form(body.encode("ascii", "backslashreplace")))
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise click.ClickException(f"{source}: neither a reservation's SID, nor an entry, nor a readable file") from exc
    return _parse_form(source, text.strip())


def _parse_form(source: str, text: str) -> Form:
    if not text.startswith("{"):
        form = dict(parse_qsl(text, keep_blank_values=True))
    else:
        try:
            document = json.loads(text)
        except ValueError as exc:
            raise click.ClickException(f"{source}: not JSON: {exc}") from exc
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in document.items()}
    if "TaskAttributes" not in form:
        raise click.ClickException(f"{source}: not an assignment callback: it has no TaskAttributes")
    return form


def _look_up(run: EnrichmentRun, callback: AssignmentCallback, enricher: Enricher) -> Mapping[str, Any] | None:
    """Return the block that would be written; None, with a note, if the database does not respond."""
    try:
        return enricher.identify(run, callback.attributes or {}, callback.form.get("TaskSid", ""))[0]
    except errors.DatabaseError as exc:
        click.echo(f"note: look-up failed: {exc.reason}", err=True)
        return None


def _stored_channel(adapters: Adapters, callback: AssignmentCallback) -> str | None:
    with suppress(errors.DatabaseError):
        return adapters.journal.channel_of(callback.form.get("TaskSid", ""))
    return None


# --- the output


def _customer(run: EnrichmentRun) -> str:
    match = run.match
    if match is None:
        return "nobody looked"
    if isinstance(match, Matched):
        return f"{match.customer_id} {match.name}, by {match.key.kind}, {match.key.trust}"
    return f"none: the match is {match.kind}"


def _line(result: Considered) -> str:
    word = "yes " if result.instruction is not None else "skip" if result.applies else "no  "
    return f"{word}  {result.rule}: {result.why}"


def _decided_by(answer: InstructionDecision) -> str:
    return {
        decision.DecidedBy.RULE: f"rule {answer.name!r}",
        decision.DecidedBy.CHANNEL: f"the default for {answer.name}",
        decision.DecidedBy.SETTING: "ENRICH_DEFAULT_INSTRUCTION",
    }[answer.by]


def _compact(block: Mapping[str, Any]) -> str:
    return json.dumps(block, ensure_ascii=False, separators=(",", ":"))
