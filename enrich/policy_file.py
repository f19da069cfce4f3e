"""The policy file, read from where ENRICH_POLICY says, and the rules that it and the settings give together."""

from __future__ import annotations

from pathlib import Path

from enrich import errors
from enrich.flows import rules
from enrich.flows.work import Rules
from enrich.policy.file import Policy
from enrich.settings import Settings

LARGEST = 1_000_000


def read_policy_file(settings: Settings, path: Path | None = None) -> Policy:
    """The policy that is to be followed; an empty one where no file is set. path: another file than the setting's.

    Raises PolicyError when it cannot be read, or when anything in it is wrong.
    """
    path = path or settings.policy
    if path is None:
        return Policy()
    try:
        if path.stat().st_size > LARGEST:
            raise errors.PolicyError(f"{path}: larger than {LARGEST} bytes; that is no policy file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise errors.PolicyError(f"{path}: cannot be read: {exc.strerror}; ENRICH_POLICY names it") from exc
    except UnicodeDecodeError as exc:
        raise errors.PolicyError(f"{path}: not UTF-8 at byte {exc.start}") from exc
    return rules.read_file(text, str(path), attribute=settings.attribute, region=settings.default_region)


def rules_of(settings: Settings, policy: Policy) -> Rules:
    """Raises SettingsError naming the setting that is wrong."""
    return rules.rules_of(
        policy,
        attribute=settings.attribute,
        lookup_keys=settings.lookup_keys,
        region=settings.default_region,
        own_numbers=settings.own_numbers,
        claimed_channels=settings.claimed_channels,
        default_instruction=settings.default_instruction,
        accept_via=settings.accept_via,
    )
