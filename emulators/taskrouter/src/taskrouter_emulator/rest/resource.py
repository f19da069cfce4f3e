"""Base of all REST views: look-ups, transactions, forms and JSON responses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.datastructures import MultiDict

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.errors import Json, invalid, not_found
from taskrouter_emulator.model.records import Workspace
from taskrouter_emulator.rest.form import RequestForm
from taskrouter_emulator.rest.paging import AnyRow, page
from taskrouter_emulator.rest.wire import ResourceWriter

ViewResponse = tuple[Response, int, dict[str, str]]


class ResourceView:
    """Base class of the routes: finds the workspace, runs each view in one transaction, writes the response."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def writer(self) -> ResourceWriter:
        return ResourceWriter(self.state.account_sid, request.host_url.rstrip("/"), self.state.clock.now())

    def workspace(self, workspace_sid: str) -> Workspace:
        return get_or_404(self.state.workspaces, workspace_sid)

    def route(self, api: Blueprint, path: str, **views: Callable[..., ViewResponse]) -> None:
        """Bind one view to each method of a path; each view runs in one transaction."""

        def view(**sids: str) -> ViewResponse:
            with self.state.transaction():
                return views["GET" if request.method == "HEAD" else request.method](**sids)

        api.add_url_rule(path, path, view, methods=list(views), provide_automatic_options=False)

    def page(
        self, key: str, rows: Iterable[AnyRow], write: Callable[[AnyRow], Json], form: RequestForm
    ) -> ViewResponse:
        query = {name: request.args.getlist(name) for name in request.args}
        return json_response(page(key, list(rows), write, form, request.base_url, query))


def read_form() -> RequestForm:
    """Return the parameters of this request: from the body of a POST, else the filters in the query.

    An empty filter filters nothing. An empty parameter of a POST says something: it removes a URL, or admits nobody.
    """
    filters = MultiDict((name, value) for name, value in request.args.items(multi=True) if value.strip())
    form = RequestForm(request.form if request.method == "POST" else filters)
    g.form = form
    return form


def json_response(body: Json, status: int = 200, *, version: int | None = None) -> ViewResponse:
    """Return a JSON response; with a version it has the ETag, a quoted integer."""
    return jsonify(body), status, ({} if version is None else {"ETag": f'"{version}"'})


def no_content() -> ViewResponse:
    """Return 204, the response to a deletion."""
    return Response(), 204, {}


def sort_by(rows: list[AnyRow], orderings: Sequence[str], keys: Mapping[str, Callable[[AnyRow], Any]]) -> None:
    """Sort by orderings such as `DateCreated:desc`, the first being the most significant. Refuses unknown names."""
    for ordering in reversed(orderings):
        name, _, direction = ordering.partition(":")
        if name not in keys or direction.lower() not in ("", "asc", "desc"):
            raise invalid(f"Ordering {ordering} is not one of {', '.join(keys)} with :asc or :desc")
        rows.sort(key=keys[name], reverse=direction.lower() == "desc")


def get_or_404(records: Mapping[str, AnyRow], sid: str) -> AnyRow:
    """Return the record with this SID. Raises ApiError 404."""
    record = records.get(sid)
    if record is None:
        raise not_found(request.path)
    return record


def if_match() -> str | None:
    return request.headers.get("If-Match")


def expression_filter(form: RequestForm, name: str) -> expressions.ParsedExpression:
    """Return a list filter that is an expression over attributes; without the parameter, everything matches."""
    text = form.text(name, default="1==1")
    try:
        return expressions.parse(text)
    except expressions.MalformedExpression as exc:
        raise invalid(f"{name}: {exc}") from exc
