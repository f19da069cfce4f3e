"""CRM enrichment for Twilio TaskRouter, inside the assignment callback.

The story, in reading order:

    webhooks/       a callback knocks: its signature is verified, the clock starts
    assignment.py   one assignment, from payload to answer, on one screen
    enrichment.py   who is it, and how does that get onto the task without harming anyone's attributes
    decision.py     what TaskRouter is told, and why; policy/ is the file that says so, rulebook.py file and settings
    customers/      who it is: look-up keys, candidates, the choice, the context that agents see
    taskrouter/     the other side: tasks with their ETag, the splice into their attributes, instructions;
                    provisioning.py: a workspace made to be as its file says
    journal/        what happened: every receipt, every conclusion, what is still owed
    lifecycle.py    the story of one event, and what it causes; handover.py and completion.py: two ways in which it ends
    followups.py    what is still owed, done by the worker; catchup.py: what was never recorded, brought in
    pages/          what staff see of it; accounts/ says who may look
    doctor.py       what is wrong with an installation; diagnosis/ says what that means, and what to do
    emulator/       a TaskRouter on your own machine; it shares no code with the rest
    demo/           all of it on one machine

Words that travel between them are in vocabulary.py, errors in errors.py, the clock in deadline.py (what ends when it is
over: clock.py; when it began: arrival.py; for how many at once: load.py), every setting in settings.py, the database in
db.py. breaker.py and addresses.py keep what is dead, or slow to be found, from holding everybody else. metrics.py is
what is counted (counts.py: where the processes of one server count), tracing.py what is traced, logs.py what is logged.
`app.py` knows every part and wires them.
"""
