"""`python -m taskrouter_emulator [--port N] [--host H]`: a TaskRouter on this machine until Ctrl-C.

The account is `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN`, or emulator-only defaults that are printed at the start;
an API key in `TWILIO_API_KEY` and `TWILIO_API_SECRET` may enter too. Nothing of the service need be configured.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from taskrouter_emulator.server import EMULATOR_ONLY, LOOPBACK, EmulatorServer

DEFAULT_PORT = 8810


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Runs until it is told to stop; the exit status, 1 if the port could not be taken."""
    options = _parser().parse_args(arguments)
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    account_sid = environment.get("TWILIO_ACCOUNT_SID") or EMULATOR_ONLY.account_sid
    auth_token = environment.get("TWILIO_AUTH_TOKEN") or EMULATOR_ONLY.auth_token
    try:
        emulator = EmulatorServer(
            account_sid, auth_token, options.port, host=options.host, api_keys=_api_keys(environment)
        )
    except (OSError, OverflowError) as problem:
        sys.stderr.write(f"Cannot listen on {options.host}:{options.port}: {_reason(problem)}\n")
        return 1
    with emulator:
        sys.stdout.write(_greeting(emulator))
        sys.stdout.flush()
        told_to_stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskrouter-emulator", description="A Twilio TaskRouter on this machine, for tests and demos."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="%(default)s by default; 0 takes a free one")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (%(default)s)")
    return parser


def _api_keys(environment: Mapping[str, str]) -> dict[str, str]:
    key, secret = environment.get("TWILIO_API_KEY"), environment.get("TWILIO_API_SECRET")
    return {key: secret} if key and secret else {}


def _greeting(emulator: EmulatorServer) -> str:
    lines = [f"TaskRouter emulator at {emulator.base_url}, account {emulator.account_sid}"]
    if emulator.auth_token == EMULATOR_ONLY.auth_token:
        lines.append(f"Auth token, for this emulator only: {emulator.auth_token}")
    lines.append(f"What it does: {emulator.base_url}/    its log: {emulator.base_url}/_emulator/log    Ctrl-C ends it.")
    return "\n".join(lines) + "\n"


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


if __name__ == "__main__":
    sys.exit(main())
