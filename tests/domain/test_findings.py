"""The worst of several findings, which is the doctor's exit status."""

from __future__ import annotations

from enrich.domain import findings
from tests.support.diagnosis import OK, WARNING


def test_the_worst_finding_is_the_status() -> None:
    assert findings.worst([]) is OK
    assert findings.worst([findings.ok("a", "x"), findings.warning("b", "x", "y", "z")]) is WARNING
    assert int(findings.worst([findings.problem("a", "x", "y", "z"), findings.ok("b", "x")])) == 2
