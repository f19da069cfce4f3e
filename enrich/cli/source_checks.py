"""Checks of `flask sources check` beyond the file: of databases, and of secret and tokens of sources that send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime

from enrich import errors
from enrich.accounts.tokens import INTAKE, ApiTokens
from enrich.api.signatures import secret_problem
from enrich.domain.findings import Finding, ok, problem, warning
from enrich.services import Services, connector_of
from enrich.sources.file import Declaration, PushDeclaration

_KEPT_OUT = "what it sends is refused, and its customers are not known"


def examine(
    services: Services, declaration: Declaration, declared: Mapping[str, Declaration], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what there is to say of this source. declared: all of the file. Writes nothing."""
    if isinstance(declaration, PushDeclaration):
        yield from _examine_secret(declaration, declared, environ)
        yield from _examine_tokens(services, declaration)
        return
    with closing(connector_of(declaration, environ)) as connector:
        yield from connector.check(datetime.now(UTC))


def _examine_secret(
    declaration: PushDeclaration, declared: Mapping[str, Declaration], environ: Mapping[str, str]
) -> Iterator[Finding]:
    variable = declaration.secret_env
    if not variable:
        return
    if wrong := secret_problem(environ.get(variable, "")):
        todo = f"set {variable} to whsec_ and the base64 of 24 to 64 random bytes (docs/sources.md)"
        yield problem("secret", f"{variable} {wrong}", f"signed requests are refused: {_KEPT_OUT}", todo)
    else:
        yield ok("secret", f"{variable} verifies signed requests")
    sharing = [one.name for one in declared.values() if one is not declaration and _secret_env(one) == variable]
    if sharing:
        meaning = "what is signed does not say for which source it is, so it could be sent to another one"
        yield warning("shared secret", f"{variable} is the secret of {', '.join(sharing)}, too", meaning, "use two")


def _secret_env(declaration: Declaration) -> str:
    return declaration.secret_env if isinstance(declaration, PushDeclaration) else ""


def _examine_tokens(services: Services, declaration: PushDeclaration) -> Iterator[Finding]:
    try:
        tokens, now = ApiTokens(services.database).list_all(), services.clock.synchronize()
    except errors.DatabaseError as exc:
        yield warning(
            "token", f"could not be looked up: {exc.reason}", "without them nobody can send", "look at DATABASE_URL"
        )
        return
    scope = f"{INTAKE}:{declaration.name}"
    usable = [token.name for token in tokens if scope in token.scopes and token.state(now) == "active"]
    if usable:
        yield ok("token", f"may send: {', '.join(usable)}")
    elif not declaration.secret_env:
        add = f"flask tokens add NAME --scope {scope}; or declare secret_env"
        yield problem("token", f"no token that is in effect has the scope {scope}", _KEPT_OUT, add)
