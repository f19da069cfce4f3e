"""Benchmarks: the service against the least that the same work can cost. `make bench`, `python -m bench --help`.

    floor.py      the yardsticks: bare functions under the same gunicorn, with the same input and output
    upstream.py   a TaskRouter that answers at once, or after 100 ms, and does nothing else
    deliveries.py signed callbacks and events, each a new one, written down before the clock starts
    followups.py  follow-ups that a worker does; bare_worker.py does as many and nothing else
    load.py       sends them: `wrk` where it is installed, else a client of ours
    serving.py    the service and the yardsticks under gunicorn.conf.py as shipped; their processor time and memory
    overload.py   sends them when they are due, answered or not: five times what was just carried
    attack.py     attacks without a secret (attacker.py), beside signed callbacks; nginx.py: the proxy, as shipped
    loading.py    customers loaded, and loaded again, against a bare loop; callbacks beside a load
    parts.py      what is measured against what, and what it should reach
    large.py      ten million identifiers, a million journal rows; in_process.py asks them
    figures.py    ratios, medians and the table
    page.py       the results as a page of docs/; plot.py draws its plots

Both sides of a comparison run in the same minute, turn by turn in short rounds, and each round gives one ratio: what
else the machine does in that minute strikes both. The table tells the median of the ratios, the lowest and the
highest, and how far the yardstick's own rounds lie apart, which is the machine's noise. After each part the journal is
asked whether the work was done that was to be measured; answers alone would not tell.
"""
