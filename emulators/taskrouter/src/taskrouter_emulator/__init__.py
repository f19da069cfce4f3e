"""A Twilio TaskRouter on your own machine, for tests and demos: REST, routing, signed callbacks, faults, and a clock.

    with EmulatorServer() as emulator:
        client.taskrouter.base_url = emulator.base_url

or `python -m taskrouter_emulator --port 8810` for a process of its own, driven over HTTP under `/_emulator/`; a page at
`/`
tells what it is doing, and has buttons to have it do something (`face`). How to use it, its switches, faults and clock:
docs/emulator.md. It shares no code with the service: a shared mistake would agree with itself. The tests hold every
answer to Twilio's OpenAPI document, and let Twilio's own SDKs for Python and Node use it.

What is emulated, and the page of https://www.twilio.com/docs that says how it behaves:

    workspaces, activities, task channels    taskrouter/api/workspace, /activity, /task-channel
    task queues, workflows                   taskrouter/api/task-queue, /workflow, workflow-configuration
    the way through a workflow               taskrouter/lifecycle-task-workflows-and-assignment, task-evaluation,
                                             worker-presence, order-workers, workflow-configuration/known-agent-routing
    expressions                              taskrouter/expression-syntax
    workers and their channels               taskrouter/api/worker, /worker-channel, multitasking
    tasks and reservations                   taskrouter/api/task, /reservations, lifecycle-task-state, limits
    ETag, If-Match, 412                      usage/mutation-and-conflict-resolution
    assignment callbacks and instructions    taskrouter/handle-assignment-callbacks, api/errors/40000 and following
    event callbacks and the Events resource  taskrouter/api/event/reference
    signatures, connection overrides         usage/webhooks/webhooks-security, /webhooks-connection-overrides
    paging, errors                           usage/twilios-response

What is NOT emulated:

    statistics         real-time, cumulative and the rest: refused with a 400 that says so; the links to them are there
    transfers          of tasks, in Flex: none of their instructions, events and states
    add-ons            `addons` and TaskAddons are always `{}`
    calls              there are none. A worker who is dialled answers after `worker_answers_after_s`, or does not
                       (`worker_answers`); somebody hangs up when `/_emulator/calls/hang-up` says so; call status
                       callbacks, recordings, conferences and the TwiML behind `url` are not asked for or sent
    events             `reservation.failed` and the transfers' never happen; attributes are not redacted after 30 days;
                       the newest 10,000 of a workspace are kept; actors are null
    webhooks           no redirects; of the connection overrides `sni` and `e` mean nothing; no self-signed TLS
    REST               rate limits and their headers; CORS headers; an ETag on lists; limits of the account (15,000
                       workers, queues, ...); more than one account; subaccounts; edges and regions
    faults             of the REST side only, and once a request has been read: connections are always taken, names
                       always found, requests never read slowly; a reset as an RST of this machine's own TCP, so
                       nothing is lost or late in between; one fault of the connection per request
    time               everything lives in memory: the end of the process is the end of the account

What Twilio refuses is mostly not documented: when something is in use and cannot be deleted, how a malformed attribute
is answered, what a client may set. The emulator takes the careful side, so that what passes here passes there; where a
switch exists it says so.

Reading order: `state`, then what stands under it: `records`, `store`, `provisioning` and `removal`; `expressions`,
`workflow_configuration`, `steps`; `routing`, `moves`, `journey`, `tasks`, `reservations`, `instructions`. Then the
wire: `routes` with its resources, `form`, `wire`, `paging`, `gate`. Then `delivery`, `faults`, `sending`, `driving`,
`server`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskrouter_emulator.server import EMULATOR_ONLY, EmulatorServer

__all__ = ["EMULATOR_ONLY", "EmulatorServer"]


def __getattr__(name: str) -> object:
    """Load the server on first use: importing the package alone, as pytest does for the plugin, loads no Flask."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from taskrouter_emulator import server

    return getattr(server, name)
