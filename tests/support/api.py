"""A program that uses the API, with a token of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from enrich.accounts.tokens import ApiTokens
from tests.support.app import services_of


@dataclass(frozen=True)
class ApiClient:
    """Sends requests to `/api/v1`. token: of its `Authorization` header, "" for none."""

    app: Flask
    token: str

    @classmethod
    def with_scopes(cls, app: Flask, *scopes: str) -> ApiClient:
        """Return a program with a new token of these scopes."""
        tokens = ApiTokens(services_of(app).database)
        name = f"{' '.join(scopes)}, {len(tokens.list_all())}"
        added = tokens.add(name=name, scopes=scopes, now=datetime.now(UTC))
        assert added
        return cls(app, added[1])

    def send(
        self,
        path: str,
        query: Mapping[str, Any] | str | None = None,
        *,
        method: str = "GET",
        json: Any = None,
        **headers: str,
    ) -> TestResponse:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.app.test_client().open(
            f"/api/v1{path}", method=method, query_string=query, json=json, headers=authorization | headers
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the body of a response that has to be 200."""
        response = self.send(path, {name: value for name, value in query.items() if value is not None})
        assert response.status_code == 200, response.text
        return response.json

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the pages of a list to its end; each is asked for when it is needed."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            cursor = page["next"]
            yield page
            if cursor is None:
                return
