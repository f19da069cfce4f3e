"""Every error of this service, as one tree.

    EnrichError
    ├── SettingsError              a setting is missing or wrong; names it
    ├── PolicyError                the policy file cannot be followed; tells everything that is wrong with it
    ├── FixtureFileError           a file of customers that cannot be read at all; says what to do
    ├── WorkspaceFileError         a file that describes a workspace, with every mistake in it and its line
    ├── PlanRefused                what such a file wants cannot be done; says why, and nothing was done
    ├── PlanStopped                a step of it failed half way; what was done stands, and a second run goes on
    ├── InvalidSignature           not signed by our account
    ├── MalformedPayload           signed, but not an assignment callback that can be understood
    ├── DatabaseError              could not look, could not record
    │   ├── DatabaseLocked         another process holds SQLite's write lock
    │   │   └── DatabaseBusy       the writers of this very process take turns, and ours did not come
    │   │       └── NotYetRecorded ... and it will, in a moment; only the answer cannot wait for it
    │   ├── SchemaMissing          the tables are not there, or not as this version needs them
    │   └── DatabaseUnavailable    no connection, or it broke
    │       └── DatabaseResting    not asked: it failed several times in a row a moment ago
    └── TaskRouterError            could not fetch or write the task
        ├── StaleTask              412: somebody else wrote first; fetch and splice again
        ├── TaskGone               404: the task is over
        ├── NotAuthorized          401, 403: our credentials
        ├── RateLimited            429
        ├── RequestRefused         400 and every other 4xx
        ├── NotAssigned            nobody has accepted the task, so there is nothing to wrap up or complete
        ├── TaskRouterFailed       5xx
        ├── TaskRouterUnreachable  no connection, or it broke
        ├── TaskRouterTooSlow      no answer within the time that was left
        ├── TaskRouterResting      not asked: it failed several times in a row a moment ago
        ├── NotUnderstood          an answer that is not TaskRouter's: HTML, broken JSON, no ETag
        ├── AttributesUnreadable   the task's attributes are not a JSON object; nothing can be spliced in
        └── NoRoom                 not even the smallest block fits beside the attributes of others

`reason` is a short slug; journal, log and page show the same word. `retryable` says whether trying again, later and
unchanged, can help. Running out of the callback's time is no error of this tree: see `deadline.OutOfTime`.
"""

from __future__ import annotations

from typing import ClassVar

# Twilio's code for a request that does not fit the state of what it is about (docs/taskrouter.md, "Status of a task").
# Which state that is, only a fresh look tells: it may be done already, or not be possible yet.
WRONG_STATE = 20001


class EnrichError(Exception):
    """The root. The message is for engineers: never a secret, never personal data."""

    reason: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False


class SettingsError(EnrichError):
    reason = "settings"


class PolicyError(EnrichError):
    """The message names the file, and each mistake with its rule or table, and its key."""

    reason = "policy"


class FixtureFileError(EnrichError):
    """The file as a whole cannot be read; nothing of it was loaded. The message names file, line and column."""

    reason = "fixture_file"


class WorkspaceFileError(EnrichError):
    """One line for each mistake: where it stands, and what would be right."""

    reason = "workspace_file"


class PlanRefused(EnrichError):
    """One line for each reason."""

    reason = "plan_refused"


class PlanStopped(EnrichError):
    """Says which step it was, why, and how many were done before it."""

    reason = "plan_stopped"
    retryable = True


class InvalidSignature(EnrichError):
    reason = "invalid_signature"


class MalformedPayload(EnrichError):
    """The message names the form field."""

    reason = "malformed_payload"


class DatabaseError(EnrichError):
    reason = "database_error"
    retryable = True


class DatabaseLocked(DatabaseError):
    reason = "database_locked"


class DatabaseBusy(DatabaseLocked):
    reason = "database_busy"


class NotYetRecorded(DatabaseBusy):
    pass


class SchemaMissing(DatabaseError):
    reason = "schema_missing"


class DatabaseUnavailable(DatabaseError):
    reason = "database_unavailable"


class DatabaseCircuitOpen(DatabaseUnavailable):
    reason = "database_resting"


class TaskRouterError(EnrichError):
    """transient: asking again at once can help. retry_after_s: how long TaskRouter wants to be left alone, if told.

    code: Twilio's own, None where the answer had none.
    """

    reason = "taskrouter_error"
    transient: ClassVar[bool] = False

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.code = code


class StaleTask(TaskRouterError):
    reason = "stale_task"
    retryable = True


class TaskGone(TaskRouterError):
    reason = "task_gone"


class NotAuthorized(TaskRouterError):
    """Retryable although nothing changes by itself: an operator mends the credentials, and it is still owed."""

    reason = "not_authorized"
    retryable = True


class RateLimited(TaskRouterError):
    reason = "rate_limited"
    retryable = True
    transient = True


class RequestRefused(TaskRouterError):
    reason = "request_refused"


class NotAssigned(TaskRouterError):
    reason = "not_assigned"


class TaskRouterFailed(TaskRouterError):
    reason = "taskrouter_failed"
    retryable = True
    transient = True


class TaskRouterUnreachable(TaskRouterError):
    reason = "taskrouter_unreachable"
    retryable = True
    transient = True


class TaskRouterTooSlow(TaskRouterError):
    reason = "taskrouter_too_slow"
    retryable = True


class TaskRouterCircuitOpen(TaskRouterError):
    reason = "taskrouter_resting"
    retryable = True


class NotUnderstood(TaskRouterError):
    reason = "not_understood"
    retryable = True
    transient = True


class AttributesUnreadable(TaskRouterError):
    reason = "attributes_unreadable"


class NoRoom(TaskRouterError):
    reason = "no_room"
