"""Look-ups over the API: requests with a token, each for one of a few numbers in turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from enrich.accounts.tokens import LOOKUP, ApiTokens
from enrich.database.engine import Database

PATH = "/api/v1/lookup"
# Of the built-in customers two, and of nobody. All are equally long.
PHONES = ("+14155550100", "+12125550123", "+14155550199")


def new_token(database: Database) -> str:
    """Return the secret of a new token for look-ups. Raises ValueError if there is one already."""
    added = ApiTokens(database).add(name="bench", scopes=(LOOKUP,), now=datetime.now(UTC))
    if added is None:
        raise ValueError("the database has a token of this name")
    return added[1]


@dataclass(frozen=True, slots=True)
class Lookups:
    """Requests for who has these numbers. public_url: of the service; it may listen elsewhere."""

    public_url: str
    token: str
    phones: Sequence[str] = PHONES

    def write(self, file: Path, number: int) -> int:
        """The length of one request, in bytes, after so many were written to the file."""
        requests = [
            (
                f"GET {PATH}?phone={quote(phone)} HTTP/1.1\r\nHost: {urlsplit(self.public_url).netloc}\r\n"
                f"Authorization: Bearer {self.token}\r\nAccept: application/json\r\n\r\n"
            ).encode()
            for phone in self.phones
        ]
        with file.open("wb") as output:
            output.writelines(itertools.islice(itertools.cycle(requests), number))
        return len(requests[0])
