"""`python -m taskrouter_emulator [--port N] [--host H] [--token T]`: runs the emulator until Ctrl-C.

The account is `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN`, or defaults that are printed at the start; an API key in
`TWILIO_API_KEY` and `TWILIO_API_SECRET` is accepted, too.
"""

import argparse
import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from taskrouter_emulator.server import EMULATOR_ONLY, LOOPBACK, EmulatorServer

DEFAULT_PORT = 8810
_OPEN_TO_ALL = """\
WARNING: other machines can reach this emulator, and there is no --token: whoever reaches it reads all attributes and
signatures in its log and page, and drives it. Without TWILIO_AUTH_TOKEN its REST API is open to them, too.
"""


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run until SIGINT or SIGTERM; return the exit status, 1 if the port is not available."""
    options = _parser().parse_args(arguments)
    stop_requested = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_requested.set())
    account_sid = environment.get("TWILIO_ACCOUNT_SID") or EMULATOR_ONLY.account_sid
    auth_token = environment.get("TWILIO_AUTH_TOKEN") or EMULATOR_ONLY.auth_token
    token = options.token or environment.get("TASKROUTER_EMULATOR_TOKEN") or None
    try:
        emulator = EmulatorServer(
            account_sid,
            auth_token,
            options.port,
            host=options.host,
            api_keys=_api_keys(environment),
            token=token,
        )
    except (OSError, OverflowError) as exc:
        sys.stderr.write(f"Cannot listen on {options.host}:{options.port}: {_reason(exc)}\n")
        return 1
    if token is None and not _is_loopback(options.host):
        sys.stderr.write(_OPEN_TO_ALL)
    with emulator:
        sys.stdout.write(_startup_message(emulator))
        sys.stdout.flush()
        stop_requested.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskrouter-emulator", description="A Twilio TaskRouter on this machine, for tests and demos."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s; 0 takes a free port")
    parser.add_argument("--host", default=LOOPBACK, help="default: %(default)s")
    parser.add_argument(
        "--token", help="ask for it as the password of the page and of /_emulator/; also TASKROUTER_EMULATOR_TOKEN"
    )
    return parser


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api_keys(environment: Mapping[str, str]) -> dict[str, str]:
    key, secret = environment.get("TWILIO_API_KEY"), environment.get("TWILIO_API_SECRET")
    return {key: secret} if key and secret else {}


def _startup_message(emulator: EmulatorServer) -> str:
    lines = [f"TaskRouter emulator at {emulator.base_url}, account {emulator.account_sid}"]
    if emulator.auth_token == EMULATOR_ONLY.auth_token:
        lines.append(f"Auth token, valid for this emulator only: {emulator.auth_token}")
    lines.append(f"Page: {emulator.base_url}/    Log: {emulator.base_url}/_emulator/log    Ctrl-C stops it.")
    return "\n".join(lines) + "\n"


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)


if __name__ == "__main__":
    sys.exit(main())
