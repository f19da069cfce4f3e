"""Every setting, in one table: its name, what it means, its default, and how its text is read.

`.env.example`, `flask settings` and the table in docs/configuration.md come from here; a test finds what is missing
there. `read_settings` reads the mapping that it is given, never the environment itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from enrich import errors
from enrich.domain.matches import DEFAULT_CLAIMED_CHANNELS, DEFAULT_LOOKUP_KEYS, DEFAULT_REGION
from enrich.domain.sids import is_sid
from enrich.domain.weak_secrets import HOW_TO_CHOOSE, weakness


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as values. Empty text or None: not set; `require` names those that a use cannot do without."""

    database_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    twilio_account_sid: str
    twilio_auth_token: str = field(repr=False)
    twilio_auth_token_next: str = field(repr=False)
    twilio_api_key: str
    twilio_api_secret: str = field(repr=False)
    twilio_workspace_sid: str
    taskrouter_base_url: str
    events_base_url: str
    public_url: str
    trusted_proxies: int
    frame_ancestors: tuple[str, ...]
    card_minutes: int
    budget_s: float
    max_in_flight: int
    api_rate: int
    worker_concurrency: int
    breaker_failures: int
    attribute: str
    accept_via: str
    default_instruction: str
    policy: Path | None
    sources: Path | None
    default_region: str
    lookup_keys: str
    own_numbers: tuple[str, ...]
    claimed_channels: tuple[str, ...]
    verified_channels: tuple[str, ...]
    keep_days: int
    instance_path: Path
    metrics_token: str = field(repr=False)
    log_format: str

    @property
    def rest_credentials(self) -> tuple[str, str]:
        """Return user and password for REST: the API key if it is set, else account SID and auth token."""
        return (
            self.twilio_api_key or self.twilio_account_sid,
            self.twilio_api_secret or self.twilio_auth_token,
        )

    @property
    def event_streams_url(self) -> str:
        """The base URL of Event Streams' API; "" if it is Twilio's and TaskRouter's is not, as with an emulator."""
        is_twilio = (urlsplit(self.taskrouter_base_url).hostname or "").endswith("twilio.com")
        return self.events_base_url if is_twilio or self.events_base_url != _EVENTS_BASE_URL else ""

    def require(self, names: Iterable[str]) -> None:
        """Check that these are set. Raises SettingsError naming each one that is not, and its purpose."""
        missing = [
            f"{setting.name}: {setting.help}"
            for setting in TABLE
            if setting.name in names and not getattr(self, setting.field)
        ]
        if missing:
            raise errors.SettingsError("not set, and nothing works without:\n  " + "\n  ".join(missing))

    def require_strong_secrets(self) -> None:
        """Check the secrets that this installation chose itself, as far as they are set. Raises SettingsError.

        Whoever guesses SECRET_KEY opens every card and can make cookies; METRICS_TOKEN opens the figures.
        """
        weak = [
            f"{setting.name}: {problem}; set it to what this prints: {HOW_TO_CHOOSE}"
            for setting in TABLE
            if setting.name in CHOSEN_SECRETS and (problem := weakness(getattr(self, setting.field)))
        ]
        if weak:
            raise errors.SettingsError("can be guessed:\n  " + "\n  ".join(weak))


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `read` turns the text into the value of `Settings.<field>`, or raises ValueError."""

    name: str
    field: str
    default: str
    help: str
    read: Callable[[str], Any] = str.strip
    secret: bool = False


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.strip().lower()

    return read


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text and not re.fullmatch(pattern, text.strip()):
            raise ValueError(f"must be {meaning}")
        return text.strip()

    return read


def _number_between(kind: type[float], low: float, high: float) -> Callable[[str], Any]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            raise ValueError("must be a number") from None
        if not low <= number <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return number

    return read


def _origin(text: str) -> str:
    """An http(s) address without its trailing slash; a path prefix is kept as it is."""
    text = text.strip().rstrip("/")
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http(s) address like https://hooks.example.com, without query or fragment")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password: TaskRouter leaves them out of what it signs")
    _ = parts.port  # raises ValueError where it is no number
    return text


def _framing_sites(text: str) -> tuple[str, ...]:
    """Sites as a content-security policy names them; nothing else may get into that header."""
    sites = tuple(word.rstrip("/") for word in text.replace(",", " ").split())
    for site in sites:
        if not re.fullmatch(
            r"https://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?", site
        ):
            raise ValueError("must be origins like https://flex.twilio.com, separated by commas")
    return sites


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _sid(prefix: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text and not is_sid(text.strip(), prefix):
            raise ValueError(f"must be {prefix} and 32 hexadecimal digits")
        return text.strip()

    return read


_EVENTS_BASE_URL = "https://events.twilio.com"

TABLE: tuple[Setting, ...] = (
    Setting(
        "SECRET_KEY",
        "secret_key",
        "",
        "Key that signs sessions and card tokens; a random string of 32 characters or more",
        secret=True,
    ),
    Setting(
        "PUBLIC_URL",
        "public_url",
        "",
        "Base URL that Twilio calls, path prefix included, exactly as set there; signatures are verified against it",
        _origin,
    ),
    Setting("TWILIO_ACCOUNT_SID", "twilio_account_sid", "", "Account that owns the workspace", _sid("AC")),
    Setting(
        "TWILIO_AUTH_TOKEN",
        "twilio_auth_token",
        "",
        "Verifies webhook signatures; also used for REST if there is no API key",
        secret=True,
    ),
    Setting(
        "TWILIO_AUTH_TOKEN_NEXT",
        "twilio_auth_token_next",
        "",
        "Second token accepted on webhooks, for rotating the auth token",
        secret=True,
    ),
    Setting("TWILIO_API_KEY", "twilio_api_key", "", "API key for REST, used instead of the auth token", _sid("SK")),
    Setting("TWILIO_API_SECRET", "twilio_api_secret", "", "Secret of the API key", secret=True),
    Setting(
        "TWILIO_WORKSPACE_SID",
        "twilio_workspace_sid",
        "",
        "If set, callbacks from any other workspace are refused",
        _sid("WS"),
    ),
    Setting(
        "TASKROUTER_BASE_URL",
        "taskrouter_base_url",
        "https://taskrouter.twilio.com",
        "Base URL of TaskRouter's REST API; set it to the emulator's address to work without an account",
        _origin,
    ),
    Setting(
        "TWILIO_EVENTS_BASE_URL",
        "events_base_url",
        _EVENTS_BASE_URL,
        "Base URL of Event Streams' REST API, for doctor and provision",
        _origin,
    ),
    Setting(
        "DATABASE_URL",
        "database_url",
        "",
        "SQLAlchemy URL; postgres:// and postgresql:// use psycopg (default: an SQLite file in ENRICH_INSTANCE_PATH)",
        secret=True,
    ),
    Setting("ENRICH_INSTANCE_PATH", "instance_path", "instance", "Directory of the default SQLite database", Path),
    Setting(
        "ENRICH_ATTRIBUTE", "attribute", "crm", "Key in the task attributes under which the block is written", str.strip
    ),
    Setting(
        "ENRICH_ACCEPT_VIA",
        "accept_via",
        "callback",
        "callback: the instruction is the answer; rest: it is carried out over REST after the write, the answer is {}",
        _one_of("callback", "rest"),
    ),
    Setting(
        "ENRICH_DEFAULT_INSTRUCTION",
        "default_instruction",
        "auto",
        "accept, defer, dequeue, or auto: defer calls and Flex interactions, accept everything else",
        _one_of("auto", "accept", "defer", "dequeue"),
    ),
    Setting(
        "ENRICH_POLICY",
        "policy",
        "",
        "Path of the policy file; it takes precedence over the settings",
        lambda text: Path(text.strip()) if text.strip() else None,
    ),
    Setting(
        "ENRICH_SOURCES",
        "sources",
        "",
        "Path of the sources file, which says where customers come from besides files",
        lambda text: Path(text.strip()) if text.strip() else None,
    ),
    Setting(
        "ENRICH_BUDGET_S",
        "budget_s",
        "3.5",
        "Seconds for the work before the answer, which leaves at most half a second later",
        _number_between(float, 0.1, 3.5),
    ),
    Setting(
        "ENRICH_MAX_IN_FLIGHT",
        "max_in_flight",
        "100",
        "Assignment callbacks that one process handles at once; the excess gets the default and is enriched late",
        _number_between(int, 1, 10_000),
    ),
    Setting(
        "ENRICH_API_RATE",
        "api_rate",
        "100",
        "Requests a second to the API with one token, in one process; for two seconds twice as many",
        _number_between(int, 1, 100_000),
    ),
    Setting(
        "ENRICH_WORKER_CONCURRENCY",
        "worker_concurrency",
        "16",
        "Follow-ups that one worker process has in flight at once",
        _number_between(int, 1, 1_000),
    ),
    Setting(
        "ENRICH_BREAKER_FAILURES",
        "breaker_failures",
        "5",
        "Consecutive failures after which TaskRouter's API, or the database, is not called for two seconds",
        _number_between(int, 1, 1_000_000),
    ),
    Setting(
        "ENRICH_DEFAULT_REGION",
        "default_region",
        DEFAULT_REGION,
        "Region of phone numbers without a country code",
        _matching("[A-Za-z]{2}", "a two-letter region such as US or GB"),
    ),
    Setting(
        "ENRICH_LOOKUP_KEYS",
        "lookup_keys",
        DEFAULT_LOOKUP_KEYS,
        "Task attributes to look customers up by, in order; attribute:kind if the name does not tell the kind",
    ),
    Setting(
        "ENRICH_OWN_NUMBERS",
        "own_numbers",
        "",
        "Your own phone numbers, separated by commas; they identify no customer",
        _words,
    ),
    Setting(
        "ENRICH_CLAIMED_CHANNELS",
        "claimed_channels",
        ", ".join(DEFAULT_CLAIMED_CHANNELS),
        "Values of channelType on which anybody can give any name or sender: keys there are claims, not evidence",
        _words,
    ),
    Setting(
        "ENRICH_VERIFIED_CHANNELS",
        "verified_channels",
        "",
        "The only channels whose keys are evidence, instead of a list of claimed ones; ENRICH_CLAIMED_CHANNELS wins",
        _words,
    ),
    Setting(
        "ENRICH_KEEP_DAYS",
        "keep_days",
        "90",
        "Days to keep the journal and the audit trail; both hold personal data",
        _number_between(int, 1, 36500),
    ),
    Setting(
        "ENRICH_TRUSTED_PROXIES",
        "trusted_proxies",
        "0",
        "Number of proxies in front whose forwarded client address is trusted",
        _number_between(int, 0, 10),
    ),
    Setting(
        "ENRICH_FRAME_ANCESTORS",
        "frame_ancestors",
        "",
        "Sites that may frame a task's customer card, such as https://flex.twilio.com; without any, there are no cards",
        _framing_sites,
    ),
    Setting(
        "ENRICH_CARD_MINUTES",
        "card_minutes",
        "30",
        "Minutes that a task's card stays available after the task has ended",
        _number_between(int, 0, 10_080),
    ),
    Setting(
        "METRICS_TOKEN",
        "metrics_token",
        "",
        "Bearer token for /metrics and the details of /readyz; a random string of 32 characters or more",
        secret=True,
    ),
    Setting(
        "ENRICH_LOG_FORMAT",
        "log_format",
        "auto",
        "json: one object per line; text: for people; auto: text on a terminal, json elsewhere",
        _one_of("auto", "json", "text"),
    ),
)

# What the server cannot do without. A command asks for what it uses, and no more.
FOR_SERVING = ("SECRET_KEY", "PUBLIC_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
# Not chosen by Twilio, so that only their owner can see to it that they are not guessed.
CHOSEN_SECRETS = ("SECRET_KEY", "METRICS_TOKEN")
FOR_REST = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings from these environment variables. Raises SettingsError that names every wrong one."""
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for setting in TABLE:
        try:
            values[setting.field] = setting.read(environ.get(setting.name) or setting.default)
        except ValueError as exc:
            wrong.append(f"{setting.name}: {exc}")
    if not values.get("attribute", "x"):
        wrong.append("ENRICH_ATTRIBUTE: must not be empty")
    if bool(values.get("twilio_api_key")) != bool(values.get("twilio_api_secret")):
        wrong.append("TWILIO_API_KEY, TWILIO_API_SECRET: set both or neither")
    if wrong:
        raise errors.SettingsError("wrong:\n  " + "\n  ".join(wrong))
    if environ.get("ENRICH_CLAIMED_CHANNELS"):
        values["verified_channels"] = ()
    if not values["database_url"]:
        values["database_url"] = f"sqlite:///{Path(values['instance_path']).absolute() / 'enrich.db'}"
    return Settings(**{each.name: values[each.name] for each in fields(Settings)})


def example() -> str:
    """Return the text of `.env.example`: every setting with its meaning, its default commented out."""
    blocks = [
        f"# {setting.help}\n{'' if setting.name in FOR_SERVING else '# '}{setting.name}={setting.default}"
        for setting in TABLE
    ]
    head = "# Copy to .env. The server needs the uncommented settings; the others show their defaults.\n\n"
    return head + "\n\n".join(blocks) + "\n"


def environment() -> dict[str, str]:
    """Return the process's environment, completed from a `.env` file for what it does not say.

    The file stands beside the package in a checkout, else in the working directory. FLASK_SKIP_DOTENV keeps it out, as
    it does for Flask.
    """
    file = dotenv_file()
    from_file = dotenv_values(file) if file else {}
    return {**{name: value or "" for name, value in from_file.items()}, **os.environ}


def dotenv_file() -> Path | None:
    """Return the path of the `.env` file, which need not exist; None if it is kept out."""
    if os.environ.get("FLASK_SKIP_DOTENV"):
        return None
    checkout = Path(__file__).parent.parent
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".env"
