"""Paging of lists: `meta` with the URLs of this page and its neighbours.

A page is requested by the SID of the last row before it, as a page token `PA…`, so that rows added meanwhile neither
repeat nor hide others. Source: https://www.twilio.com/docs/usage/twilios-response#pagination
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from taskrouter_emulator.model.errors import PAGE_SIZE_TOO_LARGE, Json, invalid
from taskrouter_emulator.rest.form import RequestForm

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_PAGING = ("PageSize", "Page", "PageToken")


class Row(Protocol):
    @property
    def sid(self) -> str: ...


AnyRow = TypeVar("AnyRow", bound=Row)


def page(
    key: str,
    rows: Sequence[AnyRow],
    write: Callable[[AnyRow], Json],
    form: RequestForm,
    address: str,
    query: Mapping[str, list[str]],
) -> Json:
    """Return the page that the request asks for.

    key: the member that holds the rows. rows: all that match the filters, in order. address: the list's URL without
    query; query: its parameters, so that the neighbours' URLs keep the filters.
    """
    form.integer("Page")  # deprecated; the token decides
    size = _page_size(form)
    start = _start(rows, form.text("PageToken"))
    end = start + size

    def url(at: int) -> str:
        filters = {name: values for name, values in query.items() if name not in _PAGING}
        number = {"PageSize": [str(size)], "Page": [str(at // size)]}
        token = {"PageToken": [_token(rows[at - 1].sid)]} if at else {}
        return f"{address}?{urlencode(filters | number | token, doseq=True)}"

    return {
        key: [write(row) for row in rows[start:end]],
        "meta": {
            "key": key,
            "page": start // size,
            "page_size": size,
            "url": url(start),
            "first_page_url": url(0),
            "previous_page_url": url(max(0, start - size)) if start else None,
            "next_page_url": url(end) if end < len(rows) else None,
        },
    }


def _page_size(form: RequestForm) -> int:
    size = form.integer("PageSize")
    if size is None:
        return DEFAULT_PAGE_SIZE
    if size > MAX_PAGE_SIZE:
        raise invalid(f"Page size must not be greater than {MAX_PAGE_SIZE}", PAGE_SIZE_TOO_LARGE)
    if size < 1:
        raise invalid("PageSize must be at least 1")
    return size


def _token(sid: str) -> str:
    return "PA" + sid[2:]


def _start(rows: Sequence[Row], token: str | None) -> int:
    if token is None:
        return 0
    for at, row in enumerate(rows):
        if _token(row.sid) == token:
            return at + 1
    raise invalid("PageToken is not valid, or no longer")
