"""Notices: the result of a form, shown once on the next page.

Until that page is shown a notice stands in the session cookie, which is signed but readable. So it holds codes and ids
alone; the sentences are here, and the names on the page itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum, auto
from typing import Any

import flask

from enrich.accounts.users import User
from enrich.domain.outcomes import FollowupKind, Outcome
from enrich.flows.resolution import Resolution
from enrich.pages import labels


class Done(StrEnum):
    """Codes of what a form has done: in the cookie, the name in lower case."""

    LINKED = auto()
    IDENTIFIED = auto()
    UNLINKED = auto()
    NOBODY = auto()
    RELEASED = auto()
    ASSIGNED = auto()
    ENRICHED = auto()
    REPLAYED = auto()
    CREATED = auto()
    SAVED = auto()
    MERGED = auto()
    SPLIT = auto()
    DELETED = auto()
    UNDONE = auto()
    NOTHING = auto()
    WRAPPED_UP = auto()
    COMPLETED = auto()
    ACCOUNT_ADDED = auto()
    ROLE_CHANGED = auto()
    ACCOUNT_DISABLED = auto()
    ACCOUNT_ENABLED = auto()
    PASSWORD_SET = auto()
    ACCOUNT_SIGNED_OUT = auto()
    OWN_ACCOUNT = auto()
    SESSION_ENDED = auto()
    OTHER_SESSIONS_ENDED = auto()
    OWN_PASSWORD_CHANGED = auto()
    TOKEN_REVOKED = auto()
    PASS_REQUESTED = auto()
    FULL_PASS_REQUESTED = auto()
    RETRY_REQUESTED = auto()
    SOURCE_NOT_SEEN = auto()
    REMOVAL_ACCEPTED = auto()
    SENDING_ACCEPTED = auto()
    REMOVAL_REFUSED = auto()
    QUESTION_CHANGED = auto()


_SENTENCES = {
    Done.LINKED: "The {key} is this customer's from now on.",
    Done.IDENTIFIED: "The customer of this task is identified.",
    Done.UNLINKED: "The {key} was unlinked from the customer.",
    Done.NOBODY: "The task belongs to none of the customers found.",
    Done.RELEASED: "The decision about this task was withdrawn.",
    Done.ASSIGNED: "The customer was created, and the task assigned to them.",
    Done.ENRICHED: "Enriched again.",
    Done.REPLAYED: "The callback was replayed.",
    Done.CREATED: "The customer was created.",
    Done.SAVED: "Saved.",
    Done.MERGED: "Merged.",
    Done.SPLIT: "Split off: it is a customer of its own again.",
    Done.DELETED: "Deleted.",
    Done.UNDONE: "Undone.",
    Done.NOTHING: "Nothing had to be changed.",
    Done.ACCOUNT_ADDED: "{account} can sign in as {role}. Give them the password over a separate channel.",
    Done.ROLE_CHANGED: "{account} now has the role {role}.",
    Done.ACCOUNT_DISABLED: "{account} is signed out everywhere and cannot sign in.",
    Done.ACCOUNT_ENABLED: "{account} can sign in again.",
    Done.PASSWORD_SET: "{account} has a new password and is signed out everywhere.",
    Done.ACCOUNT_SIGNED_OUT: "{account} is signed out everywhere.",
    Done.OWN_ACCOUNT: "You cannot change your own account, except its password. Ask another admin.",
    Done.SESSION_ENDED: "You are signed out in that browser.",
    Done.OTHER_SESSIONS_ENDED: "You are signed out everywhere else.",
    Done.OWN_PASSWORD_CHANGED: "Your password is changed. You are signed out everywhere else.",
    Done.TOKEN_REVOKED: "The token is revoked. Requests with it are refused within a second.",
    Done.PASS_REQUESTED: "A worker reads what changed within seconds.",
    Done.FULL_PASS_REQUESTED: "A worker begins a full pass within seconds.",
    Done.RETRY_REQUESTED: "A worker reads these records again within seconds.",
    Done.SOURCE_NOT_SEEN: "No worker has read the sources file since it names this source. Is one running?",
    Done.REMOVAL_ACCEPTED: "A worker removes them within seconds.",
    Done.SENDING_ACCEPTED: "They go when the source sends this again, within a day.",
    Done.REMOVAL_REFUSED: "They stay. It asks again if the source still does not have them.",
    Done.QUESTION_CHANGED: "Nothing was decided: it asks for others by now, or does not ask any more.",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, as it stands in the cookie: no field may hold a name, a number or other text from outside.

    audit_id: of the change that a button beside it undoes. key_kind: of the look-up key it is about. user_id: of the
    account. outcome, is_owed, reason: of the live task, as `LiveEnrichment` has them; outcome is "" without one.
    is_over: False while the end of a task is still tried. others: number of other tasks that are updated.
    """

    done: str
    audit_id: int | None = None
    key_kind: str = ""
    user_id: int = 0
    outcome: str = ""
    is_owed: bool = False
    reason: str = ""
    is_over: bool = True
    others: int = 0


def flash(notice: Notice) -> None:
    """Show this notice on the next page."""
    # Banned elsewhere, because it takes any text. Flask declares one, and keeps whatever JSON can say.
    flask.flash(asdict(notice))  # type: ignore[arg-type]  # noqa: TID251


def flash_resolution(done: Done, settled: Resolution, key_kind: str = "") -> None:
    """Show on the next page a decision about a customer, a button to undo it, and the result for its tasks."""
    live = settled.live
    is_done = settled.change or live
    notice = Notice(
        done if is_done else Done.NOTHING,
        audit_id=settled.change.audit_id if settled.change else None,
        key_kind=key_kind,
        others=settled.others,
    )
    flash(replace(notice, outcome=live.outcome, is_owed=live.is_owed, reason=live.reason) if live else notice)


def shown(accounts: Iterable[User] = ()) -> list[tuple[str, int | None]]:
    """Return the notices for this page, which are then forgotten: each one's text, and the change that can be undone.

    accounts: those on the page, to call one by its name.
    """
    by_id = {user.id: user for user in accounts}
    notices = [_read(values) for values in flask.get_flashed_messages()]
    return [(_text(notice, by_id.get(notice.user_id)), notice.audit_id) for notice in notices]


def _read(values: Any) -> Notice:
    """Return the notice; of another version, after an update, whose words may be others, the little that is sure."""
    try:
        return Notice(**values)
    except TypeError:
        return Notice("")


def _text(notice: Notice, user: User | None) -> str:
    if notice.done in (Done.WRAPPED_UP, Done.COMPLETED):
        kind = FollowupKind.WRAP_UP if notice.done == Done.WRAPPED_UP else FollowupKind.COMPLETE
        return labels.request_result(kind, notice.reason, is_over=notice.is_over)
    sentence = _SENTENCES[Done(notice.done)] if notice.done in set(Done) else "Done."
    account, role = (user.email, user.stored_role) if user else ("The account", "")
    sentences = [sentence.format(key=labels.key_kind(notice.key_kind), account=account, role=role)]
    if notice.outcome:
        sentences.append(_of_live_task(notice))
    if notice.others:
        others = "One more open task is" if notice.others == 1 else f"{notice.others} more open tasks are"
        sentences.append(f"{others} being updated.")
    return " ".join(sentences)


def _of_live_task(notice: Notice) -> str:
    why = labels.reason_sentence(notice.reason)
    if notice.outcome == Outcome.GONE:
        return "The task is over, so nothing more can be written to it."
    if notice.is_owed:
        return f"{why or 'The update failed.'} The task is not updated yet; the worker retries it."
    if notice.outcome == Outcome.ENRICHED:
        return "The task in TaskRouter is updated."
    return f"The task could not be updated. {why}"
