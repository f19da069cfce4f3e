"""The kind of work that a task is, from its attributes (docs/taskrouter.md, "Kinds of work").

Pure. Attributes are untrusted data; nothing here raises whatever they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# A call that exists, and a call that TaskRouter makes once the reservation is carried out as a conference.
CALL_SID = "call_sid"
OUTBOUND_TO = "outbound_to"
CALL_ATTRIBUTES = (CALL_SID, OUTBOUND_TO)
# Any of these makes the task Flex's: an interaction that an agent began lacks the first one.
FLEX_SIDS = ("flexInteractionSid", "flexInteractionChannelSid", "flexChannelInviteSid")
CONVERSATION_SIDS = ("conversationSid", "channelSid")

# These hold the customer's address in one direction, and our own in the other. `customerAddress` is the customer's in
# both, and `outbound_to` in any direction that the task names.
CALLING = frozenset({"from", "caller"})
CALLED = frozenset({"to", "called"})


class WorkKind(StrEnum):
    """The kind of work; the first of these that a task's attributes show."""

    FLEX = "flex"  # an interaction, which Flex sets up itself
    CALL = "call"
    CONVERSATION = "conversation"  # of Twilio Conversations or Chat, without Flex
    EMAIL = "email"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Work:
    """The kind of one task's work.

    is_outbound: the customer is called, not calling. has_call: there is a live call (`call_sid`); an outbound call is
    made later. names_called: the task names whom to call (`outbound_to`).
    own_addresses: names of attributes that hold our own address, or may, and not the customer's.
    """

    kind: WorkKind
    is_outbound: bool
    has_call: bool
    names_called: bool
    own_addresses: frozenset[str]

    @property
    def is_call(self) -> bool:
        """Return whether the work is a call, of Flex or not."""
        return self.has_call or self.names_called

    @property
    def is_bound(self) -> bool:
        """Return whether the work ends with its task, and is for nobody else to accept."""
        return self.is_call or self.kind is WorkKind.FLEX


def work_of(attributes: Mapping[str, Any]) -> Work:
    """Return the kind of work that these attributes describe. attributes: any JSON object."""
    has_call = _holds(attributes, CALL_SID)
    names_called = _holds(attributes, OUTBOUND_TO)
    direction = attributes.get("direction")
    says_outbound = isinstance(direction, str) and direction.strip().casefold().startswith("outbound")
    if says_outbound:
        own = CALLING
    elif names_called:  # `to` may be the number that an earlier, inbound call was made to
        own = CALLING | CALLED
    else:
        own = CALLED
    return Work(_kind(attributes), says_outbound or names_called, has_call, names_called, own)


def work_in_text(raw_attributes: str) -> Work:
    """Return the kind of work in attributes that cannot be read: by the names that occur in the text."""
    names = (*CALL_ATTRIBUTES, *FLEX_SIDS, *CONVERSATION_SIDS)
    return work_of({name: True for name in names if name in raw_attributes})


def _kind(attributes: Mapping[str, Any]) -> WorkKind:
    if any(_holds(attributes, name) for name in FLEX_SIDS):
        return WorkKind.FLEX
    if any(_holds(attributes, name) for name in CALL_ATTRIBUTES):
        return WorkKind.CALL
    if any(_holds(attributes, name) for name in CONVERSATION_SIDS):
        return WorkKind.CONVERSATION
    channel = attributes.get("channelType")
    if isinstance(channel, str) and "".join(filter(str.isalnum, channel.casefold())) == "email":
        return WorkKind.EMAIL
    return WorkKind.OTHER


def _holds(attributes: Mapping[str, Any], name: str) -> bool:
    """Return whether the attribute has a value; blank text is none."""
    value = attributes.get(name)
    return bool(value.strip()) if isinstance(value, str) else bool(value)
