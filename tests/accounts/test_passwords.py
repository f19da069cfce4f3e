"""Passwords: hashes that fit, and work that does not hold the event loop."""

from __future__ import annotations

import subprocess
import sys

import pytest
from argon2 import PasswordHasher

from enrich.accounts import passwords


def test_a_hash_fits_its_password_and_no_other() -> None:
    password_hash = passwords.hash_password("correct horse battery")
    assert password_hash.startswith("$argon2id$")
    assert len(password_hash) <= 200
    assert passwords.is_right("correct horse battery", password_hash)
    assert not passwords.is_right("correct horse batterz", password_hash)


@pytest.mark.parametrize("password_hash", [None, "", "no hash at all"], ids=["nobody", "empty", "damaged"])
def test_nothing_fits_where_there_is_no_hash(password_hash: str | None) -> None:
    assert not passwords.is_right("correct horse battery", password_hash)


def test_a_longer_password_with_the_same_beginning_is_wrong() -> None:
    longest = "x" * passwords.MAX_LENGTH
    assert not passwords.is_right(longest + "y", passwords.hash_password(longest))


def test_a_hash_with_other_parameters_is_outdated() -> None:
    assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x"))
    assert not passwords.is_outdated(passwords.hash_password("x"))


def test_under_gevent_the_loop_goes_on_while_a_password_is_hashed() -> None:
    """A greenlet that counts gets its turns during a few hashes; without the threads it would get none.

    It sleeps in between, as a loop with anything to wait for does: one that only spins takes Python's lock back faster
    than the other thread can wake up for it, and keeps that thread from ever coming to its end.
    """
    program = """
from gevent import monkey; monkey.patch_all()
import gevent
from enrich.accounts import passwords
turns = 0
def count():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)
counting = gevent.spawn(count)
hashed = passwords.hash_password("secret")
assert all(passwords.is_right("secret", hashed) for _ in range(5))
counting.kill()
print(turns)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) > 20


def test_only_a_dozen_wait_for_a_hash() -> None:
    """Two are hashed, twelve wait, all others are refused at once; and when those are done, there is room again."""
    program = """
from gevent import monkey; monkey.patch_all()
import gevent
from enrich import errors
from enrich.accounts import passwords
def is_hashed(_):
    try:
        passwords.require_room()
        return bool(passwords.hash_password("secret"))
    except errors.TooManySignIns:
        return False
jobs = [gevent.spawn(is_hashed, number) for number in range(40)]
gevent.joinall(jobs)
print(sum(job.value for job in jobs), is_hashed(0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["14", "True"]
