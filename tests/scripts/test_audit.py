"""The judgement of an audit, on answers as pip-audit 2.10 and OSV give them."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.audit import CANARY, NO_DATA, judge
from scripts.lock_files import LockedPackage

FLASK = LockedPackage("flask", "0.5", ())
JINJA = LockedPackage("jinja2", "3.0.2", ())

CLEAN = {"name": "jinja2", "version": "3.0.2", "vulns": []}
VULNERABLE = {
    "name": "flask",
    "version": "0.5",
    "vulns": [
        {"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": ["CVE-2019-1010083", "GHSA-5wv5-4vpf-pj6m"]},
        {"id": "PYSEC-2018-66", "fix_versions": ["0.12.3"], "aliases": []},
    ],
}
WITHOUT_DATA = {
    "name": "jinja2",
    "skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (3.0.2)",
}
CANARY_FOUND = {"name": CANARY.name, "version": CANARY.version, "vulns": [{"id": "PYSEC-2018-5", "fix_versions": []}]}
CANARY_MISSED = {"name": CANARY.name, "version": CANARY.version, "vulns": []}


def test_all_audited_and_nothing_found_is_clean() -> None:
    report = judge([JINJA], [CLEAN, CANARY_FOUND])
    assert report.is_clean
    assert report.lines() == ["no known vulnerability: 1 of 1"]


def test_a_vulnerable_package_is_named_with_its_advisories_and_fixes() -> None:
    report = judge([FLASK, JINJA], [VULNERABLE, CLEAN, CANARY_FOUND])
    assert not report.is_clean
    (line,) = report.lines()
    first = "PYSEC-2019-179, CVE-2019-1010083, GHSA-5wv5-4vpf-pj6m (fixed in 1.0)"
    assert line == f"vulnerable: flask 0.5: {first}; PYSEC-2018-66 (fixed in 0.12.3)"


def test_an_advisory_in_the_form_of_osv_is_named() -> None:
    htmx = LockedPackage("htmx.org", "1.0.0", ())
    osv: dict[str, Any] = {"id": "GHSA-xxxx", "aliases": ["CVE-2000-0001"], "affected": []}
    report = judge([htmx], [{"name": "htmx.org", "vulns": [osv]}])
    assert report.vulnerable == ["htmx.org 1.0.0: GHSA-xxxx, CVE-2000-0001 (fixed in no version)"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        pytest.param([WITHOUT_DATA], NO_DATA, id="the index does not know the version"),
        pytest.param([CLEAN, CANARY_MISSED], NO_DATA, id="the index has no vulnerability for anything"),
        pytest.param([{"name": "jinja2", "skip_reason": "no answer"}], "no answer", id="nobody answered"),
        pytest.param([CANARY_FOUND], "not mentioned in the answer", id="not mentioned"),
    ],
)
def test_what_could_not_be_audited_is_named_and_is_not_clean(answers: list[dict[str, Any]], reason: str) -> None:
    report = judge([JINJA], answers)
    assert not report.is_clean
    assert report.lines() == [f"could not be audited: 1 of 1: {reason}", "    jinja2 3.0.2"]


def test_a_vulnerability_counts_although_others_could_not_be_audited() -> None:
    report = judge([FLASK, JINJA], [VULNERABLE, WITHOUT_DATA])
    assert len(report.vulnerable) == 1
    assert report.unaudited == {NO_DATA: ["jinja2 3.0.2"]}
