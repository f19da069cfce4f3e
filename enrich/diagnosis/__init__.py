"""The checks of `flask taskrouter doctor`: each finding with its meaning and its fix.

Pure: plain values in, findings out. The doctor (doctor.py) finds out and tells; each check here takes what it judges,
and nothing else. To be read in this order, from ourselves outwards, in which the doctor asks, and in which to mend:

    findings.py       what a check gives back: how bad it is, what is the case, what it means, what to do
    installation.py   our own side: secrets, policy file, schema, clock, worker, what is owed
    tasks.py          what the newest tasks tell of our settings: the default instruction, the room for our block
    account.py        whether TaskRouter accepts the credentials, and has the workspace that is meant
    callbacks.py      whom that workspace asks and tells: workflows, events; callback_urls.py: is a URL there ours?
    reach.py          whether Twilio reaches us: PUBLIC_URL, and a signed event sent to it and back

Sources: README, docs/taskrouter.md.
"""
