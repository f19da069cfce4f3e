"""The checks of `flask taskrouter doctor`: each finding (domain/findings.py) with its meaning and its fix.

The doctor (cli/doctor.py) collects the facts and prints the findings. Each check takes only the values that it judges.
This is the order in which the doctor runs them, and in which to fix what they find:

    installation.py   our own side: secrets, policy file, schema, clock, worker, overdue follow-ups
    sources.py        the sources of customers: whether each is in sync, and what waits for somebody
    tasks.py          the newest tasks: whether the default instruction suits them, and the room for our block
    account.py        whether TaskRouter accepts the credentials and has the configured workspace
    callbacks.py      the URLs that the workspace calls: workflows, events; callback_urls.py compares them with ours
    reach.py          whether Twilio reaches us: PUBLIC_URL, and a signed event sent to it and back

Two modules use the network: inspection.py reads the account into the records of snapshot.py, and probe.py sends the
signed event.

Sources: README, docs/taskrouter.md.
"""
