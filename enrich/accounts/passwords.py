"""Password hashes: argon2id, made and checked where they hold up nobody else.

Hashing is C code that takes tens of milliseconds. On gevent's loop every callback of the process would wait for it, so
there it runs in native threads of its own: not in the hub's pool, which also resolves names, and two at a time, so
that a burst of sign-ins takes neither all the memory nor all the processors. Anywhere else it simply runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

MIN_LENGTH = 12
MAX_LENGTH = 1024  # more is no password, it is work for us
HASHES_AT_A_TIME = 2

# OWASP's password storage cheat sheet, its first choice with little memory: 19 MiB, two passes. About 20 ms here.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

T = TypeVar("T")


def problem(password: str) -> str:
    """Return what is wrong with this password; "" if nothing is."""
    if len(password) < MIN_LENGTH:
        return f"Enter a password of at least {MIN_LENGTH} characters."
    return "" if len(password) <= MAX_LENGTH else f"Enter a password of at most {MAX_LENGTH} characters."


def hash_password(password: str) -> str:
    """Return the argon2id hash of this password, salt and parameters included: at most 200 characters."""
    return _off_the_loop(lambda: _HASHER.hash(password))


def is_right(password: str, password_hash: str | None) -> bool:
    """Return whether this password belongs to this hash.

    password_hash: None where nobody has the e-mail; a hash of nothing is then checked, so that the answer takes as
    long as for a wrong password and the clock tells nobody who has an account.
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


def _off_the_loop(work: Callable[[], T]) -> T:
    if not is_module_patched("socket"):
        return work()
    result: T = _own_threads().apply(work)
    return result


@cache
def _own_threads() -> ThreadPool:
    """Return the pool, made at first use: a process forks before it serves, and native threads do not survive that."""
    return ThreadPool(HASHES_AT_A_TIME)
