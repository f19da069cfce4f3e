"""A customer as a row of a fixture file."""

from __future__ import annotations

from typing import Any

ADA: dict[str, Any] = {
    "id": "C-1001",
    "name": "Ada Lovelace",
    "company": "Analytical Engines",
    "tier": "gold",
    "language": "en",
    "owner": "dana@example.com",
    "phones": ["+1 415 555 0100"],
    "emails": ["ada@example.com"],
    "ids": {"account_number": "A-17"},
    "notes": ["Prefers mornings"],
    "cases": [{"id": "K-9", "subject": "Broken gear", "status": "open", "opened_on": "2026-11-02"}],
}
