"""Files that come with the service and are not Python: templates, migrations, gunicorn's configuration.

In a checkout they stand beside the package, in a wheel inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(name: str) -> Path:
    """Return the path of this file or folder. Raises FileNotFoundError if the installation lacks it."""
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (found := folder / name).exists():
            return found
    raise FileNotFoundError(f"{name}: neither in {_PACKAGE} nor beside it; the installation is incomplete")
