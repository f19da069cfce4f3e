"""The software bill of materials of wheel and image (CycloneDX 1.6), and the list of licences that follows from it.

Versions and hashes are those of the lock files; licences and dependencies are what the installed packages declare. Each
hash is that of one file in which the index has the package. Same input, same output: there is no time and no serial
number in it, and it validates against CycloneDX's schema (tests/scripts/test_sbom.py).

The generators that exist give a part each: cyclonedx-py reads hashes from a lock file or licences from an environment,
pip-audit neither, and none knows htmx. This one needs nothing that the image's build does not have installed anyway.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import enrich
from scripts.lock_files import LockedPackage, read_lock_files

CHECKOUT = Path(__file__).parent.parent
# https://github.com/bigskysoftware/htmx/blob/v2.0.10/LICENSE
HTMX_LICENCE = "0BSD"

LICENCES_HEAD = """\
The contents of the image of taskrouter-enrich beside Python and Debian, each with its licence. The texts stand in the
folders .venv/lib/python*/site-packages/*.dist-info. A package without a licence here is for other platforms.
"""


def bill_of_materials(packages: Sequence[LockedPackage], htmx_version: str, htmx_file: bytes) -> dict[str, Any]:
    """Return the CycloneDX document of the service with these packages and htmx."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    reference = {package.name: f"pkg:pypi/{package.name}@{package.version}" for package in packages}
    service = {
        "type": "application",
        "bom-ref": project["name"],
        "name": project["name"],
        "version": enrich.__version__,
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
    }
    htmx = {
        "type": "library",
        "bom-ref": f"pkg:npm/htmx.org@{htmx_version}",
        "name": "htmx.org",
        "version": htmx_version,
        "purl": f"pkg:npm/htmx.org@{htmx_version}",
        "licenses": [{"expression": HTMX_LICENCE}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(htmx_file).hexdigest()}],
    }
    graph = dependency_graph(project["name"], project["dependencies"])
    depends_on: dict[str, list[str]] = {
        reference.get(name, name): sorted(reference[needed] for needed in graph.get(name, ()))
        for name in [project["name"], *reference]
    }
    depends_on[project["name"]].append(f"pkg:npm/htmx.org@{htmx_version}")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": service},
        "components": [*(_component(package) for package in packages), htmx],
        "dependencies": [{"ref": name, "dependsOn": needed} for name, needed in depends_on.items()],
    }


def _component(package: LockedPackage) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{package.version}/",
                "hashes": [{"alg": "SHA-256", "content": sha256} for sha256 in package.sha256],
            }
        ],
    }
    try:
        component["licenses"] = [licence(metadata.metadata(package.name))]
    except metadata.PackageNotFoundError:
        # Locked for another platform.
        component["scope"] = "optional"
    return component


def licence(declared: metadata.PackageMetadata) -> dict[str, Any]:
    """Return the licence that a package declares: an SPDX expression if there is one, else its name."""
    fields = [*(declared.get_all("License-Expression") or ()), *(declared.get_all("License") or ())]
    # In older metadata, `License` may be empty or the whole text.
    names = [field for field in fields if field and "\n" not in field]
    for name in names:
        try:
            return {"expression": str(canonicalize_license_expression(name))}
        except InvalidLicenseExpression:
            continue
    classifiers = [text for text in declared.get_all("Classifier") or () if text.startswith("License ::")]
    names += [text.rpartition(" :: ")[2] for text in classifiers]
    if not names:
        raise ValueError(f"{declared['Name']} declares no licence")
    return {"license": {"name": names[0]}}


def dependency_graph(root: str, requirements: Iterable[str]) -> dict[str, set[str]]:
    """Return the names that each installed package needs on this platform, with the extras it is asked for with."""
    graph: dict[str, set[str]] = defaultdict(set)
    seen = set()
    todo = [(root, frozenset[str](), list(requirements))]
    while todo:
        name, extras, lines = todo.pop()
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ["", *extras]):
                continue
            needed = canonicalize_name(requirement.name)
            graph[name].add(needed)
            asked = (needed, frozenset(requirement.extras))
            if asked not in seen:
                seen.add(asked)
                todo.append((*asked, metadata.requires(needed) or []))
    return graph


def licences(document: dict[str, Any]) -> str:
    """Return the list of licences: a line for each component."""
    lines = [LICENCES_HEAD]
    for component in document["components"]:
        declared = component.get("licenses", [{"expression": ""}])[0]
        name = declared.get("expression", declared.get("license", {}).get("name"))
        lines.append(f"{component['name']} {component['version']}  {name}".rstrip())
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--htmx", metavar="VERSION", required=True)
@click.option("--htmx-file", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path))
@click.option("--licences", "licences_output", required=True, type=click.Path(path_type=Path))
@click.argument("lock_files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(htmx: str, htmx_file: Path, output: Path, licences_output: Path, lock_files: Sequence[Path]) -> None:
    document = bill_of_materials(read_lock_files(lock_files), htmx, htmx_file.read_bytes())
    output.write_text(json.dumps(document, indent=1) + "\n")
    licences_output.write_text(licences(document))


if __name__ == "__main__":
    main()
