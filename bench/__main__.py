"""`python -m bench`: measures, prints the table, writes it down as JSON. `make bench` sets up first."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import in_process, load
from bench.figures import Figure, table
from bench.loading import CUSTOMERS
from bench.parts import ON_REQUEST, PARTS, NotTheWork, Pace
from bench.serving import postgresql_server, site

LARGE = 10_000_000
IN_PROCESS = ("lookup", "page")


def main() -> None:
    options = _options()
    began_at = datetime.now(UTC)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for figure in _measure(options, Path(folder)):
            figures.append(figure)
            _say(f"  {figure.line.part} ({figure.line.database}): {figure.median:.2f} {figure.unit}")
    machine = _machine(options)
    print(f"\n{table(figures)}\n\n{_told(machine)}")  # noqa: T201 - the table is what was asked for
    result = {"at": began_at.isoformat(), "machine": machine, "figures": [figure.as_json() for figure in figures]}
    options.json.write_text(json.dumps(result, indent=1))
    _say(f"Written to {options.json}.")


def _measure(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    pace = Pace(options.rounds, options.seconds, options.client == "wrk", options.customers)
    with ExitStack() as stack:
        for kind in options.database:
            server = None
            if kind == "postgresql":
                server = stack.enter_context(postgresql_server(folder / "postgresql"))
            for name in options.only:
                if name in PARTS:
                    _say(f"{name} on {kind}, {pace.rounds} rounds of {pace.seconds:g} s each side ...")
                    yield from _part(name, pace, folder / f"{kind}-{name}", kind, server)
                elif options.large:
                    _say(f"{name} on {kind}, at {options.large:,} identifiers or {options.large // 10:,} rows ...")
                    yield from in_process.measure(
                        name, kind, options.large, options.cache, folder / "small", options.rounds
                    )


def _part(name: str, pace: Pace, folder: Path, kind: str, server: str | None) -> list[Figure]:
    """Return the figures of one part; measure it again if the machine stood still and the wrong work was done."""
    try:
        with site(folder, kind, server) as here:
            return list(PARTS[name](here, pace))
    except NotTheWork as exc:
        _say(f"  {exc}. Once more ...")
    with site(folder.with_suffix(".again"), kind, server) as here:
        return list(PARTS[name](here, pace))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    every = (*PARTS, *IN_PROCESS)
    default = tuple(part for part in every if part not in ON_REQUEST)
    parser.add_argument("--only", nargs="+", choices=every, default=default, metavar="PART", help=", ".join(every))
    parser.add_argument("--database", nargs="+", choices=("sqlite", "postgresql"), default=("sqlite", "postgresql"))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round (3)")
    parser.add_argument("--rounds", type=int, default=5, help="of each side (5)")
    parser.add_argument("--client", choices=("wrk", "python"), default="wrk" if load.has_wrk() else "python")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=f"of a load ({CUSTOMERS:,})")
    parser.add_argument(
        "--large",
        type=int,
        nargs="?",
        const=LARGE,
        metavar="N",
        help=f"also look-ups at N identifiers ({LARGE:,}) and the first page at N/10 rows, each against a thousandth",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("instance/bench"), help="where large tables are kept (instance/bench)"
    )
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"))
    return parser.parse_args()


def _machine(options: argparse.Namespace) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load_average": [round(each, 1) for each in os.getloadavg()],
        "client": options.client,
    }


def _told(machine: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


if __name__ == "__main__":
    main()
