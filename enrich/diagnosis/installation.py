"""Findings on this installation: secrets, files, policy file, schema, clock, worker, follow-ups.

From other systems only the time is needed, to compare our clock with. Checks of settings against tasks are in tasks.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from enrich.domain.findings import Finding, not_examined, ok, problem, warning
from enrich.domain.weak_secrets import HOW_TO_CHOOSE, weakness

GOOD_KEY = 32
_NEW_KEY = f"set SECRET_KEY to what this prints: {HOW_TO_CHOOSE}"
SKEW_S = 5.0
LARGE_SKEW_S = 60.0
OVERDUE_S = 120.0


def secret_key(key: str, metrics_token: str) -> Iterator[Finding]:
    """Check the keys, by the rule that stops the start. No key is shown."""
    if not key:
        yield problem("secret_key", "SECRET_KEY is not set", "the service does not start", _NEW_KEY)
    elif reason := weakness(key):
        yield problem(
            "secret_key",
            f"SECRET_KEY can be guessed: it {reason}",
            "the service does not start: anyone who guesses it can open every card, and forge cookies",
            _NEW_KEY,
        )
    elif len(key) < GOOD_KEY:
        yield warning("secret_key", f"SECRET_KEY has only {len(key)} characters", "32 or more are usual", _NEW_KEY)
    else:
        yield ok("secret_key", "SECRET_KEY is long")
    if reason := weakness(metrics_token):
        yield problem(
            "metrics_token",
            f"METRICS_TOKEN can be guessed: it {reason}",
            "the service does not start: anyone who guesses it is served /metrics and the details of /readyz",
            _NEW_KEY.replace("SECRET_KEY", "METRICS_TOKEN"),
        )


def files(modes: Mapping[str, int]) -> Finding:
    """Check that other users cannot read the settings and the database. modes: permissions of each file by its path."""
    open_files = [path for path, mode in modes.items() if mode & 0o007]
    if not open_files:
        return ok("files", "no other user of this machine can read settings or database")
    return warning(
        "files",
        f"every user of this machine can open {', '.join(open_files)}",
        "secrets and personal data are in it",
        f"chmod 600 {' '.join(open_files)}",
    )


def policy(path: str, problems: str) -> Finding:
    """Check the policy file. path: "" if none is set. problems: one per line; "" for none."""
    if not path:
        return ok("policy", "no policy file is set")
    if problems:
        return problem("policy", "; ".join(problems.splitlines()), "the service does not start with it", "fix the file")
    return ok("policy", f"{path} is valid")


def schema(at: str | None, head: str | None, failed: str = "") -> Finding:
    """Check the schema. at, head: its revision, and the one that this version needs. failed: the database's error."""
    if failed:
        return problem(
            "database",
            f"the database does not respond: {failed}",
            "nothing can be recorded or looked up; TaskRouter gets the default instruction",
            "check DATABASE_URL, and whether the database runs",
        )
    if at != head:
        return problem(
            "migrations",
            f"the schema is at {at or 'nothing'}, and this version needs {head}",
            "tables or columns are missing: callbacks cannot be recorded",
            "flask db upgrade",
        )
    return ok("migrations", f"the schema is at {at}")


def server_log(settings: Mapping[str, str]) -> Finding:
    """Check that PostgreSQL does not log the parameters of statements. settings: those whose names begin with log."""
    logs_statements = (
        settings["log_statement"] in {"mod", "all"}
        or settings["log_min_duration_statement"] != "-1"
        or settings["log_min_duration_sample"] != "-1"
        or settings["log_transaction_sample_rate"] != "0"
    )
    if logs_statements and settings["log_parameter_max_length"] != "0":
        culprit = "log_parameter_max_length"
    elif settings["log_parameter_max_length_on_error"] != "0":
        culprit = "log_parameter_max_length_on_error"
    else:
        return ok("server_log", "PostgreSQL does not log the parameters of statements")
    return warning(
        "server_log",
        f"PostgreSQL logs the parameters of statements ({culprit} is {settings[culprit]})",
        "its log holds names, numbers and addresses of customers, for as long as it is kept",
        f"ALTER SYSTEM SET {culprit} = 0; SELECT pg_reload_conf();",
    )


def writable(refusal: str) -> Finding:
    """Check that the database is not read-only. refusal: why no write is accepted; "" if writes are."""
    if refusal:
        return problem(
            "database",
            f"the database cannot be written to: {refusal}",
            "nothing is recorded; TaskRouter gets the default instruction",
            "let DATABASE_URL lead to the primary; on SQLite, let the service write to the file",
        )
    return ok("database", "the database can be written to")


def database_clock(ahead_s: float | None) -> Finding:
    """Check this machine's clock. ahead_s: seconds by which it is ahead of the database's; None if unknown."""
    meaning = "the service uses the database's time; log lines, sessions and TLS use this machine's"
    return clock(None if ahead_s is None else -ahead_s, "the database", meaning)


def clock(
    skew_s: float | None, owner: str, meaning: str = "times in the journal are wrong, and catch-up uses wrong times"
) -> Finding:
    """Check the clock. skew_s: seconds by which the owner's clock is ahead of ours; None if unknown."""
    check = f"clock_{owner.lower().replace(' ', '_')}"
    if skew_s is None:
        return not_examined(check, f"{owner} returned no time")
    difference = f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} {owner}'s"
    todo = "synchronise both clocks with NTP"
    if abs(skew_s) >= LARGE_SKEW_S:
        return problem(check, f"our clock is {difference}", meaning, todo)
    if abs(skew_s) >= SKEW_S:
        return warning(check, f"our clock is {difference}", meaning, todo)
    return ok(check, f"our clock agrees with {owner}'s")


def pruning(in_doubt_since: datetime | None) -> Finding:
    """Check that old entries are pruned. in_doubt_since: as `Heartbeats.clock_in_doubt_since` returns it."""
    if in_doubt_since is None:
        return ok("pruning", "no worker's clock is in doubt")
    return problem(
        "pruning",
        f"a worker's clock was far ahead of the newest row, {in_doubt_since:%Y-%m-%d %H:%M} UTC",
        "nothing is deleted any more, so the database grows",
        "look at the clocks of all machines; if they are right: flask worker --confirm-clock",
    )


def worker(last_beat: datetime | None, now: datetime, alive_within: timedelta, max_skew: timedelta) -> Finding:
    """Check the workers. last_beat: the last heartbeat of any worker, aware; None for never.

    max_skew: a heartbeat may be so far in the future, since clocks differ.
    """
    meaning = "late enrichment is not done, and no task is enriched before its callback"
    todo = "run flask worker beside the web server"
    if last_beat is None:
        return problem("worker", "no worker has ever sent a heartbeat", meaning, todo)
    silent = now - last_beat
    if silent < -max_skew:
        return problem(
            "worker",
            f"the last heartbeat of a worker is {_ago(-silent)} in the future",
            f"a machine's clock is wrong, or was; {meaning}, for all that can be seen",
            "set the clocks by NTP; the next heartbeat of a worker puts it right",
        )
    if silent > alive_within:
        return problem("worker", f"the last heartbeat of a worker was {_ago(silent)} ago", meaning, todo)
    return ok("worker", f"a worker sent a heartbeat {_ago(silent)} ago")


def followups(overdue_s: float, pending: int, given_up: int, unknown: int = 0) -> Iterator[Finding]:
    """Check the follow-ups. overdue_s: seconds since the oldest became due. given_up: their number within a day.

    unknown: the number of pending ones whose kind this version does not know.
    """
    if overdue_s > OVERDUE_S:
        yield warning(
            "followups",
            f"{pending} follow-ups are pending, the oldest due for {_ago(timedelta(seconds=overdue_s))} already",
            "workers do not keep up, or none runs",
            "run more of them: flask worker; see flask followups list",
        )
    else:
        yield ok("followups", f"{pending} follow-ups are pending, none overdue")
    if unknown:
        yield warning(
            "followups_unknown",
            f"{unknown} pending follow-ups are of a kind that this version does not know",
            "a newer version left them; they wait until it is back",
            "upgrade again; see flask followups list",
        )
    if given_up:
        yield warning(
            "followups_given_up",
            f"{given_up} follow-ups were given up within a day",
            "their work was not done",
            "flask followups list shows the reasons, flask followups retry retries them",
        )


def _ago(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
