"""What the routes of all resources share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.datastructures import MultiDict

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.errors import invalid, not_found
from taskrouter_emulator.model.records import Workspace
from taskrouter_emulator.rest.form import Form
from taskrouter_emulator.rest.paging import AnyRow, page
from taskrouter_emulator.rest.wire import Json, Wire

Answer = tuple[Response, int, dict[str, str]]


class Resource:
    """What all routes share: finding the workspace, one transaction around each view, writing the answer."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def wire(self) -> Wire:
        return Wire(self.state.account_sid, request.host_url.rstrip("/"), self.state.clock.now())

    def workspace(self, workspace_sid: str) -> Workspace:
        return found(self.state.workspaces, workspace_sid)

    def route(self, api: Blueprint, path: str, **views: Callable[..., Answer]) -> None:
        """Binds one view to each method of a path; each runs inside one transaction."""

        def view(**sids: str) -> Answer:
            with self.state.transaction():
                return views["GET" if request.method == "HEAD" else request.method](**sids)

        api.add_url_rule(path, path, view, methods=list(views), provide_automatic_options=False)

    def page(self, key: str, rows: Iterable[AnyRow], write: Callable[[AnyRow], Json], form: Form) -> Answer:
        query = {name: request.args.getlist(name) for name in request.args}
        return answer_with(page(key, list(rows), write, form, request.base_url, query))


def read_form() -> Form:
    """The parameters of this request: of the body for a POST, of the query for everything else."""
    values: MultiDict[str, str] = request.form if request.method == "POST" else request.args
    form = Form(values)
    g.form = form
    return form


def answer_with(body: Json, status: int = 200, *, version: int | None = None) -> Answer:
    """An answer; with a version it carries the ETag, which is a quoted integer."""
    return jsonify(body), status, ({} if version is None else {"ETag": f'"{version}"'})


def no_content() -> Answer:
    """204, the answer to a deletion."""
    return Response(), 204, {}


def sort_by(rows: list[AnyRow], orderings: Sequence[str], keys: Mapping[str, Callable[[AnyRow], Any]]) -> None:
    """Sorts by `DateCreated:desc,Priority:asc` and the like, the first one counting most. Refuses unknown names."""
    for ordering in reversed(orderings):
        name, _, direction = ordering.partition(":")
        if name not in keys or direction.lower() not in ("", "asc", "desc"):
            raise invalid(f"Ordering {ordering} is not one of {', '.join(keys)} with :asc or :desc")
        rows.sort(key=keys[name], reverse=direction.lower() == "desc")


def found(records: Mapping[str, AnyRow], sid: str) -> AnyRow:
    record = records.get(sid)
    if record is None:
        raise not_found(request.path)
    return record


def if_match() -> str | None:
    return request.headers.get("If-Match")


def predicate(form: Form, name: str) -> expressions.Expression:
    """A filter that is an expression over attributes; everything passes if it was not given."""
    text = form.text(name, default="1==1")
    try:
        return expressions.parse(text)
    except expressions.MalformedExpression as problem:
        raise invalid(f"{name}: {problem}") from problem
