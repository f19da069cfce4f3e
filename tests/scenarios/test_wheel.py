"""The service's wheel: it holds all that the service needs, and runs the demo from outside of the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from enrich import __version__
from enrich.demo.processes import free_port

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as `pip` builds it from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(CHECKOUT)], check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    command = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # `addsitedir` also reads the .pth file of the emulator, which is installed in place.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sorted(dependencies)]
    (site / "dependencies.pth").write_text("".join(lines))
    return folder


def run(installed: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "venv" / "bin" / "taskrouter-enrich"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=installed,
        env={"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_it_holds_templates_migrations_static_files_and_no_emulator(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        "templates": CHECKOUT / "templates",
        "migrations": CHECKOUT / "migrations",
        "static": CHECKOUT / "enrich" / "static",
    }
    for target, folder in expected.items():
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        missing = [path for path in files if f"enrich/{target}/{path.relative_to(folder).as_posix()}" not in names]
        assert missing == []
    assert any(name.startswith("enrich/static/htmx-") for name in names)
    assert "enrich/gunicorn.conf.py" in names
    assert [name for name in names if name.startswith(("tests", "bench")) or "taskrouter_emulator" in name] == []


def test_it_holds_the_bill_of_materials_of_its_version(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = f"taskrouter_enrich-{__version__}.dist-info/sboms/sbom.cdx.json"
    assert json.loads(archive.read(name))["metadata"]["component"]["version"] == __version__


def test_it_tells_its_version(installed: Path) -> None:
    assert run(installed, "--version").stdout == f"taskrouter-enrich, version {__version__}\n"


def test_it_runs_the_demo_from_outside_the_checkout(installed: Path) -> None:
    ports = ("--port", str(free_port(0)), "--emulator-port", str(free_port(0)))
    result = run(installed, "demo", *ports, "--seconds", "4", timeout_s=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Sign in" in result.stdout
    loaded = run(installed, "settings").stdout
    assert "SECRET_KEY" in loaded
    assert (installed / "instance" / "demo" / "enrich.db").exists()
