"""The environment that settings are read from: the process's own, and a `.env` file for what that does not say."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

HERE = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """Variables by name. FLASK_SKIP_DOTENV keeps `.env` out, as it does for Flask."""
    from_file = {} if os.environ.get("FLASK_SKIP_DOTENV") else dotenv_values(HERE / ".env")
    return {**{name: value or "" for name, value in from_file.items()}, **os.environ}
