"""The HTTP API for other systems: Studio flows, IVRs, scripts, reports.

    views.py            the application, look-ups, and what every response has
    reading_views.py    customers, tasks and follow-ups; reading.py: their pages, as a token may see them
    intake.py           customers that sources send; intake_models.py: their bodies and answers
    signatures.py       signed requests, after Standard Webhooks
    access.py           tokens, scopes and rates, admission after callbacks, and the query
    models.py           requests and answers of look-ups; reading_models.py: those of reading
    lookup.py           one look-up, by the rules of the callback
    cursors.py          the place where the next page begins
    recorder.py         rows about requests, written after the answers
    problems.py         refusals as problem details (RFC 9457)
    openapi.py          the description, made of the models; intake_openapi.py: the intake's part of it

Stateless: no session, no cookie, no CSRF token. A request has its token in the `Authorization` header, never in its
address. docs/api.md is the page for those who use it.
"""
