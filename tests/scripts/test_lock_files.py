"""The packages of a requirements file."""

from __future__ import annotations

from pathlib import Path

from scripts.lock_files import LockedPackage, read_lock_files

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def test_packages_have_their_version_and_hashes_whatever_their_markers_and_extras(tmp_path: Path) -> None:
    service = tmp_path / "service.txt"
    service.write_text(
        f"gunicorn[gevent]==27.0.1 \\\n    --hash=sha256:{ONE} \\\n    --hash=sha256:{TWO}\n"
        f"tzdata==2026.6 ; sys_platform == 'win32' \\\n    --hash=sha256:{THREE}\n"
    )
    tools = tmp_path / "tools.txt"
    tools.write_text(f"# comment\ntzdata==2026.6 \\\n    --hash=sha256:{THREE}\nabc-d==1.0rc1\n")
    assert read_lock_files([service, tools]) == [
        LockedPackage("abc-d", "1.0rc1", ()),
        LockedPackage("gunicorn", "27.0.1", (ONE, TWO)),
        LockedPackage("tzdata", "2026.6", (THREE,)),
    ]
