"""Every error of this service, as one tree.

    EnrichError
    ├── SettingsError              a setting is missing or invalid
    ├── PolicyError                the policy file is invalid; lists every problem
    ├── FixtureFileError           a file of customers cannot be read
    ├── SourcesFileError           the sources file is invalid; lists every problem with its line
    ├── WorkspaceFileError         a workspace file is invalid; lists every problem with its line
    ├── PlanRefused                the plan cannot be applied; nothing was changed
    ├── PlanStopped                a step of the plan failed; a second run continues
    ├── InvalidSignature           not signed by our account
    ├── MalformedPayload           signed, but not a valid callback
    ├── TooManySignIns             too many passwords wait to be checked
    ├── DatabaseError              a read or write failed
    │   ├── DatabaseLocked         another process holds SQLite's write lock
    │   │   └── DatabaseBusy       timed out waiting for another writer of this process
    │   │       └── NotYetRecorded the write is queued, but the answer cannot wait for it
    │   ├── DatabaseConflict       another transaction inserted the same row first
    │   ├── SchemaMissing          tables are missing or of another version
    │   ├── DatabaseNotWritable    read-only, full, or its storage fails; it may still be read
    │   └── DatabaseUnavailable    no connection, or it broke
    │       └── DatabaseCircuitOpen  not asked: it failed several times in a row a moment ago
    ├── SourceError                a source of customers
    │   ├── StreamTaken            another process reads it
    │   ├── SourceRefused          its credentials, or what they may read
    │   ├── SourceUnavailable      no connection, too slow, or it broke
    │   ├── SourceMisfit           it is not as the sources file describes it: a table, a column, a type
    │   ├── LeaseLost              another process reads it now; what was not committed is rolled back
    │   └── BrakeApplied           more would leave than is usual; nothing of it was committed
    └── TaskRouterError            could not fetch or write the task
        ├── StaleTask              412: the task changed meanwhile; fetch and splice again
        ├── TaskGone               404: the task is over
        ├── NotAuthorized          401, 403: our credentials
        ├── RateLimited            429
        ├── RequestRefused         400 and every other 4xx
        ├── NotAssigned            no worker has accepted the task yet
        ├── TaskRouterFailed       5xx
        ├── TaskRouterUnreachable  no connection, or it broke
        │   ├── HostUnknown        the name of its host does not exist
        │   ├── ProxyRefused       the proxy refuses to connect, or wants a password
        │   └── TlsFailed          its certificate is refused, or it does not speak TLS
        ├── Redirected             3xx; redirects are not followed
        ├── TaskRouterTooSlow      no answer within the time that was left
        ├── TaskRouterCircuitOpen  not asked: it failed several times in a row a moment ago
        ├── NotUnderstood          unexpected response: HTML, invalid JSON, no ETag
        │   └── AnswerTooLong      more bytes than any answer has; fewer rows may fit
        ├── AttributesUnreadable   the task's attributes are not a JSON object; nothing can be spliced in
        └── NoRoom                 not even the smallest block fits beside the attributes of others

`reason` is a short slug that journal, log and page share. `retryable` marks what may succeed later.
The end of the time budget is not in this tree: see `deadline.OutOfTime`.
"""

from __future__ import annotations

from typing import ClassVar

# Twilio's code for a request that does not fit the state of what it is about (docs/taskrouter.md, "Status of a task").
# Fetch the task to learn its state: the change may be done already, or not be possible yet.
WRONG_STATE = 20001


class EnrichError(Exception):
    """Base of all errors. Messages are for engineers and contain no secrets or personal data."""

    reason: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False


class SettingsError(EnrichError):
    reason = "settings"


class PolicyError(EnrichError):
    """The message names the file, and each mistake with its rule or table, and its key."""

    reason = "policy"


class FixtureFileError(EnrichError):
    """The file cannot be read: as a whole, or from the line and column on that the message names."""

    reason = "fixture_file"


class SourcesFileError(EnrichError):
    """One line for each mistake: where it stands, and what would be right."""

    reason = "sources_file"


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


class TooManySignIns(EnrichError):
    reason = "too_many_sign_ins"
    retryable = True


class DatabaseError(EnrichError):
    reason = "database_error"
    retryable = True


class DatabaseLocked(DatabaseError):
    reason = "database_locked"


class DatabaseBusy(DatabaseLocked):
    reason = "database_busy"


class NotYetRecorded(DatabaseBusy):
    pass


class DatabaseConflict(DatabaseError):
    """Another transaction inserted the same row first; doing it again finds that row."""

    reason = "database_conflict"


class SchemaMissing(DatabaseError):
    reason = "schema_missing"


class DatabaseUnavailable(DatabaseError):
    reason = "database_unavailable"


class DatabaseNotWritable(DatabaseError):
    """Not a kind of DatabaseUnavailable, because reads go on."""

    reason = DatabaseUnavailable.reason


class DatabaseCircuitOpen(DatabaseUnavailable):
    reason = "database_resting"


class SourceError(EnrichError):
    """Base of errors of sources of customers."""

    reason = "source_error"


class StreamTaken(SourceError):
    """Another process reads the stream."""

    reason = "stream_taken"
    retryable = True


class SourceRefused(SourceError):
    """The message says what was refused; an operator has to mend it."""

    reason = "source_refused"


class SourceUnavailable(SourceError):
    reason = "source_unavailable"
    retryable = True


class SourceMisfit(SourceError):
    """The message names what the source does not have, or has otherwise."""

    reason = "source_misfit"


class LeaseLost(SourceError):
    """The runner stood still for so long that another one reads the stream now."""

    reason = "lease_lost"
    retryable = True


class BrakeApplied(SourceError):
    """More customers or identifiers would leave than is usual, and nobody has said that they may.

    removed: how many would, the larger of the two numbers. records, of_records: customers who would, of so many.
    """

    reason = "brake_applied"

    def __init__(self, message: str, *, removed: int, records: int = 0, of_records: int = 0) -> None:
        super().__init__(message)
        self.removed = removed
        self.records = records
        self.of_records = of_records


class TaskRouterError(EnrichError):
    """Base of TaskRouter errors.

    transient: an immediate retry may help. retry_after_s: delay that TaskRouter asked for, or None.

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
    """Retryable: the follow-up can succeed once an operator corrects the credentials."""

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


# HostUnknown, ProxyRefused, TlsFailed, Redirected: an immediate retry does not help, but a follow-up can succeed once
# an operator corrects the set-up.


class HostUnknown(TaskRouterUnreachable):
    reason = "taskrouter_host_unknown"
    transient = False


class ProxyRefused(TaskRouterUnreachable):
    reason = "taskrouter_proxy_refused"
    transient = False


class TlsFailed(TaskRouterUnreachable):
    reason = "taskrouter_tls_failed"
    transient = False


class Redirected(TaskRouterError):
    reason = "taskrouter_redirected"
    retryable = True


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


class AnswerTooLong(NotUnderstood):
    pass


class AttributesUnreadable(TaskRouterError):
    reason = "attributes_unreadable"


class NoRoom(TaskRouterError):
    reason = "no_room"
