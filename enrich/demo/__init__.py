"""Everything on one machine: `flask demo` (cli/demo.py), which `make demo` calls.

    processes.py   the emulator, the web server and the worker, each a process of its own, started and ended together
    workplace.py   the workspace at the emulator, its workers, and what they do with the tasks they are given
    arrivals.py    the mixed stream of work: who calls, writes or chats
    crm.py         the CRM that some of the customers come from: a database of its own
    changes.py     the plan of what changes in the CRM, and who calls because of it

The service does not know that it is a demo: it gets settings, and TASKROUTER_BASE_URL is the emulator's address.
"""
