"""Known vulnerabilities of all that is locked, and a list of what could not be audited.

pip-audit asks the package index about Python packages. htmx is a file within one of them, so OSV is asked about it by
its name at npm. The exit status is 0 only if everything was audited and nothing was found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests

from scripts.lock_files import LockedPackage, read_lock_files

OSV_URL = "https://api.osv.dev/v1/query"
NO_DATA = "this index has no vulnerability data"
# A version with a dozen known vulnerabilities, which is asked about with the others. A mirror that leaves the
# vulnerabilities out of its answers would have none for it either.
CANARY = LockedPackage("django", "2.0", ())


@dataclass(frozen=True)
class Report:
    """The judgement: a line for each vulnerable package, and the packages that could not be audited, by reason."""

    total: int
    vulnerable: list[str]
    unaudited: dict[str, list[str]]

    @property
    def is_clean(self) -> bool:
        return not self.vulnerable and not self.unaudited

    def lines(self) -> list[str]:
        lines = [f"vulnerable: {line}" for line in self.vulnerable]
        for reason, names in self.unaudited.items():
            lines.append(f"could not be audited: {len(names)} of {self.total}: {reason}")
            lines.append(f"    {', '.join(names)}")
        audited = self.total - sum(map(len, self.unaudited.values()))
        if audited and not self.vulnerable:
            lines.append(f"no known vulnerability: {audited} of {self.total}")
        return lines


def judge(packages: Sequence[LockedPackage], answers: Iterable[dict[str, Any]]) -> Report:
    """Judge what was answered about the packages.

    answers: members of `dependencies` in pip-audit's JSON, each with either `skip_reason` or `vulns`.
    """
    by_name = {answer["name"]: answer for answer in answers}
    has_data = bool(by_name.get(CANARY.name, {}).get("vulns", True))
    vulnerable = []
    unaudited = defaultdict(list)
    for package in packages:
        label = f"{package.name} {package.version}"
        answer = by_name.get(package.name, {"skip_reason": "not mentioned in the answer"})
        if vulns := answer.get("vulns"):
            vulnerable.append(f"{label}: {'; '.join(map(_describe, vulns))}")
        elif "not found on PyPI" in answer.get("skip_reason", "") or not (has_data or "skip_reason" in answer):
            unaudited[NO_DATA].append(label)
        elif "skip_reason" in answer:
            unaudited[answer["skip_reason"]].append(label)
    return Report(len(packages), vulnerable, dict(unaudited))


def _describe(vuln: dict[str, Any]) -> str:
    names = ", ".join([vuln["id"], *vuln.get("aliases", [])])
    return f"{names} (fixed in {', '.join(vuln.get('fix_versions', [])) or 'no version'})"


def ask_pip_audit(packages: Sequence[LockedPackage]) -> list[dict[str, Any]]:
    """Return pip-audit's answer about each package and the canary."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock_file:
        # Without their markers, so that those for other platforms are asked about, too.
        lock_file.writelines(f"{package.name}=={package.version}\n" for package in [*packages, CANARY])
        lock_file.flush()
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "--aliases=on"]
        command = [sys.executable, "-m", "pip_audit", *options, "-r", lock_file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        problem = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return [{"name": package.name, "skip_reason": f"pip-audit failed: {problem}"} for package in packages]


def ask_osv(package: LockedPackage) -> dict[str, Any]:
    """Return OSV's answer about an npm package, in the form of pip-audit's."""
    query = {"package": {"ecosystem": "npm", "name": package.name}, "version": package.version}
    try:
        response = requests.post(OSV_URL, json=query, timeout=30)
        response.raise_for_status()
        return {"name": package.name, "vulns": response.json().get("vulns", [])}
    except requests.RequestException as exc:
        return {"name": package.name, "skip_reason": f"no answer from {OSV_URL}: {type(exc).__name__}"}


@click.command(help=__doc__)
@click.option("--htmx", metavar="VERSION", required=True)
@click.argument("lock_files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(htmx: str, lock_files: Sequence[Path]) -> None:
    packages = read_lock_files(lock_files)
    library = LockedPackage("htmx.org", htmx, ())
    report = judge([*packages, library], [*ask_pip_audit(packages), ask_osv(library)])
    click.echo("\n".join(report.lines()))
    sys.exit(0 if report.is_clean else 1)


if __name__ == "__main__":
    main()
