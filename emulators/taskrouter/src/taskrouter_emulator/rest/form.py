"""Parameters of a REST request, read by name and type, and refused as TaskRouter refuses them.

Unknown parameters are ignored, as TaskRouter ignores them; `RequestForm.unread` lists them afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar, overload

from werkzeug.datastructures import MultiDict

from taskrouter_emulator.callbacks import address
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.sids import is_sid

_INT_LIMIT = 2**63

Record = TypeVar("Record")


class RequestForm:
    """The parameters of one request. Every reader returns the default, or None, for a parameter that was not sent."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        self._values = values
        self._read: set[str] = set()

    @overload
    def text(self, name: str) -> str | None: ...
    @overload
    def text(self, name: str, *, default: str) -> str: ...
    def text(self, name: str, *, default: str | None = None) -> str | None:
        """Return the text as it was sent; of a repeated parameter, the first value."""
        self._read.add(name)
        return self._values.get(name, default)

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise invalid(f"Missing required parameter {name} in the post body")
        return value

    def texts(self, name: str) -> list[str]:
        """Return every value of a repeatable parameter; each value may also be a comma-separated list."""
        self._read.add(name)
        joined = ",".join(self._values.getlist(name))
        return [part.strip() for part in joined.split(",") if part.strip()]

    def all_texts(self, name: str) -> list[str]:
        """Return every value of a repeatable parameter, as it was sent."""
        self._read.add(name)
        return self._values.getlist(name)

    @overload
    def integer(self, name: str) -> int | None: ...
    @overload
    def integer(self, name: str, *, default: int) -> int: ...
    def integer(self, name: str, *, default: int | None = None) -> int | None:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise invalid(f"{name} must be an integer") from None
        if abs(number) >= _INT_LIMIT:
            raise invalid(f"{name} is out of range")
        return number

    @overload
    def boolean(self, name: str) -> bool | None: ...
    @overload
    def boolean(self, name: str, *, default: bool) -> bool: ...
    def boolean(self, name: str, *, default: bool | None = None) -> bool | None:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise invalid(f"{name} must be true or false")
        return value.lower() == "true"

    def integer_between(self, name: str, minimum: int, maximum: int) -> int | None:
        value = self.integer(name)
        if value is not None and not minimum <= value <= maximum:
            raise invalid(f"{name} must be between {minimum} and {maximum}")
        return value

    def lenient_boolean(self, name: str) -> bool | None:
        """Return the boolean of a list filter: `true`, `1` and `yes` are true, everything else is false."""
        value = self.text(name)
        return None if value is None else value.lower() in ("true", "1", "yes")

    def json_object(self, name: str) -> dict[str, object] | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            value_read = json.loads(value)
        except (ValueError, RecursionError):
            value_read = None
        if not isinstance(value_read, dict):
            raise invalid(f"{name} must be a JSON object")
        return value_read

    def sid(self, name: str, *prefixes: str) -> str | None:
        """Return a SID of one of these kinds, whether the resource exists or not. Refuses malformed SIDs."""
        value = self.text(name)
        if value is None or any(is_sid(value, prefix) for prefix in prefixes):
            return value
        raise invalid(f"{name} is not a SID of the form {' or '.join(prefixes)} and 32 hexadecimal digits")

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise invalid(f"{name} must be one of {', '.join(choices)}")
        return value

    def choices(self, name: str, choices: Sequence[str]) -> list[str]:
        """Return every value of a repeatable parameter, each of which must be one of these."""
        values = self.texts(name)
        if not set(values) <= set(choices):
            raise invalid(f"{name} must be one of {', '.join(choices)}")
        return values

    def instant(self, name: str) -> datetime | None:
        """Return a date and time in ISO 8601; without an offset it is UTC."""
        value = self.text(name)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise invalid(f"{name} must be a date and time in ISO 8601") from None
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)

    def url(self, name: str) -> str | None:
        """Return an http or https URL, or "", which removes a URL."""
        value = self.text(name)
        try:
            if value:
                address.parse(value)
        except ValueError as exc:
            raise invalid(f"{name} must be an http or https URL: {exc}") from exc
        return value

    def resource(self, name: str, prefixes: str | tuple[str, ...], records: Mapping[str, Record]) -> Record | None:
        """Return the record that a SID parameter names. Refuses malformed SIDs and those of no record."""
        if not self.text(name):
            return None
        value = self.sid(name, *((prefixes,) if isinstance(prefixes, str) else prefixes))
        if value is None or value not in records:
            raise invalid(f"{name} {value} does not exist")
        return records[value]

    def unread(self) -> list[str]:
        """Return the names of parameters that were sent and never read."""
        return sorted(set(self._values) - self._read)
