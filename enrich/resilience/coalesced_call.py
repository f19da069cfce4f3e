"""A call that many ask for and that is made once: in the background, with a pause before the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class CoalescedCall:
    """Makes `call` soon after somebody asks, and not again within `interval_s`, however many ask meanwhile.

    Asking costs a few instructions and never waits. An exception of the call is logged. call: made in a thread, which
    under gevent is a greenlet. make_thread, pause: as `threading.Thread` and `time.sleep`.
    """

    def __init__(
        self,
        call: Callable[[], object],
        interval_s: float,
        *,
        make_thread: Callable[..., threading.Thread] = threading.Thread,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._call = call
        self._interval_s = interval_s
        self._make_thread = make_thread
        self._pause = pause
        self._lock = threading.Lock()
        self._is_asked = False
        self._is_running = False

    def ask(self) -> None:
        """Have the call made, unless it is about to be made anyway."""
        if self._is_asked:
            return
        with self._lock:
            self._is_asked = True
            must_start, self._is_running = not self._is_running, True
        if must_start:
            try:
                self._make_thread(target=self._run, daemon=True).start()
            except RuntimeError:  # no thread could be started; the next one who asks tries again
                self._is_asked = self._is_running = False

    def _run(self) -> None:
        while self._is_still_asked():
            try:
                self._call()
            except Exception as exc:  # noqa: BLE001 - whoever asked has gone on; the next call may succeed
                log.warning("a call in the background failed", extra={"error": type(exc).__name__})
            self._pause(self._interval_s)

    def _is_still_asked(self) -> bool:
        """Return whether somebody has asked since the last call; if not, the thread ends."""
        with self._lock:
            self._is_running = self._is_asked
            self._is_asked = False
            return self._is_running
