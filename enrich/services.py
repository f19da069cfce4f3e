"""The one place where adapters are put together: what views, commands and the worker of one app share."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import time as time_of_day
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import TypedDict, cast
from zoneinfo import ZoneInfo

from flask import current_app

from enrich import errors
from enrich.customers import card_token
from enrich.customers.store import CustomerStore
from enrich.database.clock import DatabaseClock, clock_of
from enrich.database.engine import Database
from enrich.domain.deliveries import Exchange, FollowupAttempt
from enrich.domain.outcomes import RestorationResult
from enrich.domain.streams import Intervals
from enrich.flows import rules as flow_rules
from enrich.flows.activity import ActivityLog
from enrich.flows.adapters import JITTER, Adapters
from enrich.flows.assignment import AssignmentHandler
from enrich.flows.completion import Completion
from enrich.flows.dispatcher import FollowupDispatcher
from enrich.flows.enrichment import Enricher
from enrich.flows.handover import Handover
from enrich.flows.lifecycle import Lifecycle
from enrich.flows.restoration import Restoration
from enrich.flows.rules import Rules
from enrich.flows.sync import SyncedSource
from enrich.journal.followups import FollowupQueue
from enrich.journal.heartbeats import Heartbeats
from enrich.journal.rate_limits import RateLimits
from enrich.journal.receipts import Journal
from enrich.journal.rollups import Rollups
from enrich.journal.task_states import TaskStates
from enrich.policy.file import Policy
from enrich.resilience.admission import Admission
from enrich.resilience.circuit_breaker import CircuitBreaker
from enrich.resilience.coalesced_call import CoalescedCall
from enrich.resilience.dns_cache import DnsCache
from enrich.resilience.in_flight_limit import InFlightLimit
from enrich.resilience.timeouts import time_limit
from enrich.settings import Settings
from enrich.sources.file import Sources, SqlDeclaration, read_sources
from enrich.sources.sql import SqlSource
from enrich.taskrouter.client import TaskRouterClient
from enrich.telemetry import multiprocess
from enrich.telemetry.log_rate_limit import LogRateLimit
from enrich.telemetry.metrics import Metrics
from enrich.telemetry.tracing import Tracing, tracing_of

MAX_FILE_BYTES = 1_000_000
# A page of slow statements must not outlast the lease.
STATEMENTS_OF_A_PAGE = 4
SHORTEST_LEASE = timedelta(minutes=1)
# Workers are told of new follow-ups at most so often; in between they learn of several at once.
NOTIFY_INTERVAL_S = 0.02
REFUSAL_INTERVAL_S = 1.0
TOO_MANY_REQUESTS = "429"


class Flows(TypedDict):
    """The part of `Services` that follows from adapters and rules alone."""

    rules: Rules
    enricher: Enricher
    assignments: AssignmentHandler
    lifecycle: Lifecycle
    completion: Completion
    dispatcher: FollowupDispatcher


@dataclass(frozen=True, slots=True)
class Services:
    """The services that views, commands and the worker of one app share. Safe for greenlets and threads.

    admission: decides which assignment callbacks this process works on. rate_limits: refusals that web processes met.
    rest_limit: the number of follow-ups in flight that TaskRouter's rate limit bears; followup_capacity: the same, but
    0 while TaskRouter's circuit breaker is open, and 1 when it is time for a probe. refusals: writes the log lines that
    strangers can cause, a few of each kind a second. tracing: None unless configured.
    policy_error: the error in the policy file, in a command, which may have nothing to do with it; the rules are then
    those without a policy. sources_error: the same for the sources file.
    """

    settings: Settings
    database: Database
    clock: DatabaseClock
    adapters: Adapters
    rules: Rules
    enricher: Enricher
    assignments: AssignmentHandler
    lifecycle: Lifecycle
    completion: Completion
    dispatcher: FollowupDispatcher
    heartbeats: Heartbeats
    rollups: Rollups
    rate_limits: RateLimits
    rest_limit: InFlightLimit
    followup_capacity: Callable[[], int]
    admission: Admission
    metrics: Metrics
    refusals: LogRateLimit
    tracing: Tracing | None
    policy_error: errors.PolicyError | None = None
    sources: Sources = field(default_factory=Sources)
    sources_error: errors.SourcesFileError | None = None

    def require_policy(self) -> None:
        """Raise PolicyError if the policy file is wrong; for commands that work by the rules."""
        if self.policy_error is not None:
            raise self.policy_error

    def require_sources(self) -> None:
        """Raise SourcesFileError if the sources file is wrong; for commands that work with sources."""
        if self.sources_error is not None:
            raise self.sources_error


def current_services() -> Services:
    """Return the services of the current app."""
    return cast(Services, current_app.extensions["enrich"])


def build_services(settings: Settings, *, serves: bool) -> Services:
    """Return the services that these settings describe. Connects to nothing yet.

    serves: policy file and sources file must be right; otherwise what is wrong with one is kept in `policy_error` or
    `sources_error`, so that a command can examine what another one needs. Raises SettingsError, PolicyError,
    SourcesFileError.
    """
    policy, policy_error = _policy(settings, serves=serves)
    sources, sources_error = _sources(settings, serves=serves)
    addresses = DnsCache()
    metrics, tracing = Metrics(multiprocess.shared()), tracing_of(os.environ)

    def count_exchange(exchange: Exchange) -> None:
        metrics.rest_request(exchange.method, exchange.status)
        if exchange.status == TOO_MANY_REQUESTS:
            rest_limit.refused()
            if serves:
                record_refusal.ask()
        elif exchange.status.isdigit():  # without an answer it says nothing of the rate limit
            rest_limit.succeeded()
        if tracing:
            tracing.exchange(exchange)

    def count_followup(attempt: FollowupAttempt) -> None:
        metrics.followup(attempt.kind, attempt.outcome, attempt.reason)
        if attempt.outcome in set(RestorationResult):
            metrics.restoration(RestorationResult(attempt.outcome))
        if tracing:
            tracing.followup(attempt)

    def followup_capacity() -> int:
        if taskrouter_breaker.is_open:
            return 0 if taskrouter_breaker.rest_s() else 1
        return rest_limit.current

    database = _database(settings, addresses, metrics)
    clock = clock_of(database)
    taskrouter_breaker = _breaker("taskrouter", settings, metrics)
    rest_limit = InFlightLimit(settings.worker_concurrency)
    rate_limits = RateLimits(database)
    record_refusal = CoalescedCall(lambda: rate_limits.record(clock.now()), REFUSAL_INTERVAL_S)
    announce = CoalescedCall(database.notify, NOTIFY_INTERVAL_S).ask
    adapters = Adapters(
        journal=Journal(database, time_limit=time_limit, announce=announce),
        task_states=TaskStates(database),
        store=CustomerStore(database),
        followups=FollowupQueue(database, announce=announce),
        taskrouter=TaskRouterClient(
            settings.taskrouter_base_url,
            *settings.rest_credentials,
            addresses=addresses,
            breaker=taskrouter_breaker,
            observe=count_exchange,
            connections=settings.max_in_flight,  # more would be opened, and closed after use
        ),
        time_limit=time_limit,
        now=clock.now,
        pause=lambda seconds: time.sleep(seconds * random.uniform(0.5, JITTER)),  # noqa: S311 - spreads load
        observe=count_followup,
    )
    return Services(
        settings=settings,
        database=database,
        clock=clock,
        adapters=adapters,
        heartbeats=Heartbeats(database),
        rollups=Rollups(database),
        rate_limits=rate_limits,
        rest_limit=rest_limit,
        followup_capacity=followup_capacity,
        admission=Admission(settings.max_in_flight, observe=metrics.in_flight),
        metrics=metrics,
        refusals=LogRateLimit(),
        tracing=tracing,
        policy_error=policy_error,
        sources=sources,
        sources_error=sources_error,
        **flows_of(adapters, _rules(settings, policy)),
    )


def flows_of(adapters: Adapters, rules: Rules) -> Flows:
    """Return the flows of these adapters and rules, as fields of `Services`."""
    enricher, activities = Enricher(adapters, rules), ActivityLog(adapters)
    handover = Handover(adapters, rules, activities)
    lifecycle = Lifecycle(adapters, rules, enricher, handover, activities)
    completion = Completion(adapters, rules, enricher, activities)
    return {
        "rules": rules,
        "enricher": enricher,
        "assignments": AssignmentHandler(adapters, rules, enricher),
        "lifecycle": lifecycle,
        "completion": completion,
        "dispatcher": FollowupDispatcher(
            adapters,
            enricher,
            lifecycle,
            handover,
            completion,
            Restoration(adapters, rules, enricher, activities),
            jitter=lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load
        ),
    }


def _database(settings: Settings, addresses: DnsCache, metrics: Metrics) -> Database:
    """Return the database; it counts as resting while either of its circuit breakers is open."""

    def observe(_is_open: object) -> None:
        metrics.breaker("database", breaker.is_open or write_breaker.is_open)

    breaker = CircuitBreaker(failures=settings.breaker_failures, observe=observe)
    write_breaker = CircuitBreaker(failures=settings.breaker_failures, observe=observe)
    return Database(settings.database_url, addresses=addresses, breaker=breaker, write_breaker=write_breaker)


def _breaker(of: str, settings: Settings, metrics: Metrics) -> CircuitBreaker:
    return CircuitBreaker(failures=settings.breaker_failures, observe=lambda is_open: metrics.breaker(of, is_open))


def _policy(settings: Settings, *, serves: bool) -> tuple[Policy, errors.PolicyError | None]:
    """Return the policy and, for a command, its error, so that `policy check` can examine what `worker` refuses.

    Raises PolicyError where callbacks would be answered by it.
    """
    try:
        return read_policy_file(settings), None
    except errors.PolicyError as exc:
        if serves:
            raise
        return Policy(), exc


def _sources(settings: Settings, *, serves: bool) -> tuple[Sources, errors.SourcesFileError | None]:
    """Return the declared sources and, for a command, the error in their file. Raises SourcesFileError to who serves.

    The variables that the file names are not looked at: only the worker has the addresses of databases.
    """
    try:
        return read_sources_file(settings), None
    except errors.SourcesFileError as exc:
        if serves:
            raise
        return Sources(), exc


def _rules(settings: Settings, policy: Policy) -> Rules:
    """Return the rules of the settings and the policy. Raises SettingsError."""
    rules = rules_of(settings, policy)
    has_cards = settings.frame_ancestors and settings.secret_key
    return replace(rules, card_key=card_token.key_of(settings.secret_key) if has_cards else b"")


def read_policy_file(settings: Settings, path: Path | None = None) -> Policy:
    """Return the policy of the file; an empty one if no file is set. path: another file than the setting's.

    Raises PolicyError when it cannot be read, or when anything in it is wrong.
    """
    path = path or settings.policy
    if path is None:
        return Policy()
    text = _text_of(path, "policy file", "ENRICH_POLICY", errors.PolicyError)
    return flow_rules.read_file(text, str(path), attribute=settings.attribute, region=settings.default_region)


def read_sources_file(
    settings: Settings, path: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> Sources:
    """Return the sources that the file declares; none if no file is set. path: another file than the setting's.

    environ: to check that the variables that the file names are set; None for not. Raises SourcesFileError with every
    mistake.
    """
    path = path or settings.sources
    if path is None:
        return Sources()
    text = _text_of(path, "sources file", "ENRICH_SOURCES", errors.SourcesFileError)
    try:
        return read_sources(text, None if environ is None else {name for name, value in environ.items() if value})
    except errors.SourcesFileError as exc:
        raise errors.SourcesFileError(f"{path}:\n{exc}") from None


def connector_of(declaration: SqlDeclaration, environ: Mapping[str, str]) -> SqlSource:
    """Return the connector to a declared database. Connects to nothing yet; close it after use. Raises SourceMisfit."""
    return SqlSource(declaration, environ.get(declaration.url_env, ""))


def declared_databases(services: Services) -> Mapping[str, SqlDeclaration]:
    """Return the declared databases, by name."""
    declared = services.sources.declarations
    return {name: one for name, one in declared.items() if isinstance(one, SqlDeclaration)}


def synced_source(services: Services, declaration: SqlDeclaration) -> SyncedSource:
    """Return the source as its declaration and the settings describe it."""
    region, kinds = services.settings.default_region, frozenset(services.rules.keys.kinds)
    read_by = json.dumps([declaration.fingerprint, region, sorted(kinds)])
    return SyncedSource(
        declaration.name,
        declaration.kind,
        Intervals(
            every=timedelta(seconds=declaration.every),
            keys_every=timedelta(seconds=declaration.keys_every),
            full_every=timedelta(seconds=declaration.full_every),
            has_windows=declaration.person.changed is not None,
            full_time=time_of_day.fromisoformat(declaration.full_at),
            zone=ZoneInfo(declaration.timezone),
        ),
        fingerprint=blake2b(read_by.encode(), digest_size=16).hexdigest(),
        region=region,
        kinds=kinds,
        lease=max(SHORTEST_LEASE, timedelta(seconds=STATEMENTS_OF_A_PAGE * declaration.statement_timeout)),
    )


def _text_of(path: Path, what: str, setting: str, error: type[errors.EnrichError]) -> str:
    """Return the text of a small file that a setting names. Raises this error."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise error(f"{path}: larger than {MAX_FILE_BYTES} bytes; that is no {what}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise error(f"{path}: cannot be read: {exc.strerror}; {setting} names it") from exc
    except UnicodeDecodeError as exc:
        raise error(f"{path}: not UTF-8 at byte {exc.start}") from exc


def rules_of(settings: Settings, policy: Policy) -> Rules:
    """Return the rules of settings and policy. Raises SettingsError naming the setting that is wrong."""
    return flow_rules.rules_of(
        policy,
        attribute=settings.attribute,
        lookup_keys=settings.lookup_keys,
        region=settings.default_region,
        own_numbers=settings.own_numbers,
        claimed_channels=settings.claimed_channels,
        verified_channels=settings.verified_channels,
        default_instruction=settings.default_instruction,
        accept_via=settings.accept_via,
    )
