"""Parameters of a REST request, read by name and type, each refused the way TaskRouter refuses it.

Names that nobody asked for are ignored, as TaskRouter ignores them, but can be told afterwards: `Form.unread`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar, overload

from werkzeug.datastructures import MultiDict

from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.sids import is_sid

_INT_LIMIT = 2**63

Record = TypeVar("Record")


class Form:
    """One request's parameters. Every reader gives the default, or None, for what was not sent."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        self._values = values
        self._read: set[str] = set()

    @overload
    def text(self, name: str) -> str | None: ...
    @overload
    def text(self, name: str, *, default: str) -> str: ...
    def text(self, name: str, *, default: str | None = None) -> str | None:
        """The text as it was sent; of a name sent more than once, the first."""
        self._read.add(name)
        return self._values.get(name, default)

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise invalid(f"Missing required parameter {name} in the post body")
        return value

    def texts(self, name: str) -> list[str]:
        """Every value of a repeatable parameter; each may also be a comma list."""
        self._read.add(name)
        joined = ",".join(self._values.getlist(name))
        return [part.strip() for part in joined.split(",") if part.strip()]

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

    def integer_between(self, name: str, least: int, most: int) -> int | None:
        value = self.integer(name)
        if value is not None and not least <= value <= most:
            raise invalid(f"{name} must be between {least} and {most}")
        return value

    def truth(self, name: str) -> bool | None:
        """Of a list filter: `true`, `1` and `yes` are true, and everything else is false."""
        value = self.text(name)
        return None if value is None else value.lower() in ("true", "1", "yes")

    def json_object(self, name: str) -> dict[str, object] | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise invalid(f"{name} must be a JSON object")
        return read

    def sid(self, name: str, *prefixes: str) -> str | None:
        """A SID of one of these kinds, whether there is such a thing or not. Refuses what is malformed."""
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
        """Every value of a repeatable parameter, each one of these."""
        values = self.texts(name)
        if not set(values) <= set(choices):
            raise invalid(f"{name} must be one of {', '.join(choices)}")
        return values

    def instant(self, name: str) -> datetime | None:
        """ISO 8601; without an offset it is UTC."""
        value = self.text(name)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise invalid(f"{name} must be a date and time in ISO 8601") from None
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)

    def url(self, name: str) -> str | None:
        """An http or https URL, or empty text, which takes a URL away."""
        value = self.text(name)
        if value and not value.startswith(("http://", "https://")):
            raise invalid(f"{name} must be an http or https URL")
        return value

    def resource(self, name: str, prefixes: str | tuple[str, ...], records: Mapping[str, Record]) -> Record | None:
        """The record that a SID parameter names. Refuses a malformed SID, and one of nothing that exists."""
        if not self.text(name):
            return None
        value = self.sid(name, *((prefixes,) if isinstance(prefixes, str) else prefixes))
        if value is None or value not in records:
            raise invalid(f"{name} {value} does not exist")
        return records[value]

    def unread(self) -> list[str]:
        """Names that were sent and that nothing asked for."""
        return sorted(set(self._values) - self._read)
