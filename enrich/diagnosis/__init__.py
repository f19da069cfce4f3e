"""The checks of `flask taskrouter doctor`: each finding with its meaning and its fix.

The doctor (cli/doctor.py) collects the facts and prints the findings. Each check takes the values it judges, and
nothing else. Listed in the order in which the doctor runs them, which is the order in which to fix what they find:

    findings.py       the result of a check: severity, observation, meaning, fix
    installation.py   our own side: secrets, policy file, schema, clock, worker, overdue follow-ups
    tasks.py          what the newest tasks show about our settings: the default instruction, the room for our block
    account.py        whether TaskRouter accepts the credentials and has the configured workspace
    callbacks.py      the URLs that workspace calls: workflows, events; callback_urls.py: whether a URL there is ours
    reach.py          whether Twilio reaches us: PUBLIC_URL, and a signed event sent to it and back

Two modules talk to the network for the doctor: inspection.py reads the account into the records of snapshot.py, and
probe.py sends the signed event.

Sources: README, docs/taskrouter.md.
"""
