"""The yardstick of follow-ups: greenlets that do their requests, insert a row each, and nothing else.

`python -m gevent.monkey --module bench.bare_worker UPSTREAM IN_FLIGHT NUMBER`, with DATABASE_URL. No queue, no lease,
no order, no look-up and no second try: a follow-up is a GET and a POST over kept connections. Prints, as JSON, how many
were done after the first of each greenlet, and in what time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from urllib.parse import urlencode

import gevent
import urllib3

from bench.floor import ANSWER, BLOCK, store


def run(upstream: str, database_url: str, in_flight: int, number: int) -> dict[str, float]:
    """Do so many follow-ups with so many greenlets."""
    tables = store(database_url)
    pool = urllib3.connectionpool.connection_from_url(upstream, maxsize=in_flight, retries=False)
    headers = urllib3.util.make_headers(basic_auth="AC:not-a-real-token", keep_alive=True)
    write_headers = {**headers, "If-Match": '"3"', "Content-Type": "application/x-www-form-urlencoded"}
    numbers = iter(range(number))
    # Monotonic and processor time, when as many were done as there are greenlets, and when all were.
    marks: dict[int, tuple[float, float]] = {}
    done = 0

    def work() -> None:
        nonlocal done
        for each in numbers:
            task = f"/v1/Workspaces/WS{'0' * 32}/Tasks/WT{each:032x}"
            pool.urlopen("GET", task, headers=headers)
            pool.urlopen("POST", task, body=urlencode({"Attributes": BLOCK}), headers=write_headers)
            tables.insert("INSERT INTO answers (reservation_sid, answer) VALUES (?, ?)", (task[-34:], ANSWER.decode()))
            done += 1
            if done in (in_flight, number):
                marks[done] = (time.monotonic(), time.process_time())

    gevent.joinall([gevent.spawn(work) for _ in range(in_flight)], raise_error=True)
    (began_at, used_before_s), (ended_at, used_s) = marks[in_flight], marks[number]
    return {"done": number - in_flight, "seconds": ended_at - began_at, "processor_s": used_s - used_before_s}


if __name__ == "__main__":
    _upstream, _in_flight, _number = sys.argv[1:]
    json.dump(run(_upstream, os.environ["DATABASE_URL"], int(_in_flight), int(_number)), sys.stdout)
