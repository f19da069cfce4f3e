"""The HTTP API for other systems: Studio flows, IVRs, scripts.

    views.py      the application, its routes, and what every response has
    access.py     tokens, scopes and rates, and admission after callbacks
    models.py     requests and answers, as they are validated and described
    lookup.py     one look-up, by the rules of the callback
    recorder.py   rows about look-ups, written after the answers
    problems.py   refusals as problem details (RFC 9457)
    openapi.py    the description, made of the models

Stateless: no session, no cookie, no CSRF token. A request has its token in the `Authorization` header, never in its
address. docs/api.md is the page for those who use it.
"""
