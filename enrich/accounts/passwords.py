"""Password hashes: argon2id, made and checked where they hold up nobody else.

Hashing is C code that takes tens of milliseconds. On gevent's loop every callback of the process would wait for it, so
there it runs in native threads of its own: not in the hub's pool, which also resolves names, and two at a time, so
that a burst of sign-ins takes neither all the memory nor all the processors. Only so many may wait there; one more is
TooManySignIns. Anywhere else it simply runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent.lock import BoundedSemaphore
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

from enrich import errors
from enrich.accounts import guessable

MIN_LENGTH = 12
MAX_LENGTH = 1024  # more is no password, it is work for us
HASHES_AT_A_TIME = 2
# More than a dozen wait for half a second here; who comes then is told to try again.
MAX_WAITING = 12

# OWASP's password storage cheat sheet, its first choice with little memory: 19 MiB, two passes. About 20 ms here.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

T = TypeVar("T")


def problem(password: str, about: Iterable[str] = ()) -> str:
    """Return what is wrong with this password; "" if nothing is. about: e-mail and name of whom it belongs to."""
    if len(password) < MIN_LENGTH:
        return f"Enter a password of at least {MIN_LENGTH} characters."
    if len(password) > MAX_LENGTH:
        return f"Enter a password of at most {MAX_LENGTH} characters."
    if guessable.is_known(password):
        return "This password is among the most common ones. Choose another, such as four random words."
    if guessable.is_predictable(password, about):
        return (
            "This password is mostly a name, a row of keys, a sequence or a repetition. "
            "Choose another, such as four random words."
        )
    return ""


def hash_password(password: str) -> str:
    """Return the argon2id hash of this password, salt and parameters included: at most 200 characters.

    Raises TooManySignIns.
    """
    return _off_the_loop(lambda: _HASHER.hash(password))


def is_right(password: str, password_hash: str | None) -> bool:
    """Return whether this password belongs to this hash.

    password_hash: None where nobody has the e-mail; a hash of nothing is then checked, so that the answer takes as
    long as for a wrong password and the clock tells nobody who has an account. Raises TooManySignIns.
    """
    return _off_the_loop(lambda: _verify(password, password_hash))


def is_outdated(password_hash: str) -> bool:
    """Return whether this hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def _verify(password: str, password_hash: str | None) -> bool:
    nobodys_hash = _nobodys_hash()
    try:
        fits = _HASHER.verify(password_hash or nobodys_hash, password[:MAX_LENGTH])
    except (VerificationError, InvalidHashError):
        return False
    return fits and password_hash is not None and len(password) <= MAX_LENGTH


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(secrets.token_hex())


def require_room() -> None:
    """Raise TooManySignIns if a password would have to wait behind too many others."""
    if is_module_patched("socket"):
        _hash_threads().require_room()


class _HashThreads:
    """The threads, with a bounded queue in front: hashes cost memory and time, and anybody can ask for one."""

    def __init__(self) -> None:
        self._pool = ThreadPool(HASHES_AT_A_TIME)
        self._places = BoundedSemaphore(HASHES_AT_A_TIME + MAX_WAITING)

    def require_room(self) -> None:
        """Raise TooManySignIns if every place is taken."""
        if self._places.locked():
            raise errors.TooManySignIns(f"{MAX_WAITING} passwords wait already")

    def run(self, work: Callable[[], T]) -> T:
        """Run this in a thread, and wait for it. Raises TooManySignIns."""
        self.require_room()
        with self._places:
            result: T = self._pool.apply(work)
        return result


def _off_the_loop(work: Callable[[], T]) -> T:
    return _hash_threads().run(work) if is_module_patched("socket") else work()


@cache
def _hash_threads() -> _HashThreads:
    """Return the threads, made at first use: a process forks before it serves, which native threads do not survive."""
    return _HashThreads()
