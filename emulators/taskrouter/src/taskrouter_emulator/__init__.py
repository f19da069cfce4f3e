"""A Twilio TaskRouter on your own machine, for tests and demos: REST, routing, signed callbacks, faults, and a clock.

    with EmulatorServer() as emulator:
        client.taskrouter.base_url = emulator.base_url

Or `python -m taskrouter_emulator --port 8810` for a process of its own, with a control API under `/_emulator/` and a
page at `/`. README.md describes its use, switches, faults and clock. It shares no code with any client of TaskRouter: a
shared mistake would agree with itself. The tests compare every response with Twilio's OpenAPI document, and use the
emulator through Twilio's own SDKs for Python and Node.

Emulated, with the page of https://www.twilio.com/docs that describes the behaviour:

    workspaces, activities, task channels    taskrouter/api/workspace, /activity, /task-channel
    task queues, workflows                   taskrouter/api/task-queue, /workflow, workflow-configuration
    routing through a workflow               taskrouter/lifecycle-task-workflows-and-assignment, task-evaluation,
                                             worker-presence, order-workers, workflow-configuration/known-agent-routing
    expressions                              taskrouter/expression-syntax
    workers and their channels               taskrouter/api/worker, /worker-channel, multitasking
    tasks and reservations                   taskrouter/api/task, /reservations, lifecycle-task-state, limits
    ETag, If-Match, 412                      usage/mutation-and-conflict-resolution
    assignment callbacks and instructions    taskrouter/handle-assignment-callbacks, api/errors/40000 and following
    event callbacks and the Events resource  taskrouter/api/event/reference
    Event Streams to webhooks                events/webhook-quickstart, events/event-types/taskrouter
    signatures, connection overrides         usage/webhooks/webhooks-security, /webhooks-connection-overrides
    paging, errors                           usage/twilios-response

Not emulated:

    statistics         real-time, cumulative and the rest: refused with a 400 that says so; the links to them are there
    transfers          of tasks, in Flex: their instructions, events and states
    add-ons            `addons` and TaskAddons are always `{}`
    calls              there are none. A dialled worker answers after `worker_answers_after_s`, or does not
                       (`worker_answers`); `/_emulator/calls/hang-up` ends a call; call status callbacks, recordings,
                       conferences and the TwiML behind `url` are neither sent nor requested
    events             `reservation.failed` and those of transfers; attributes are not redacted after 30 days; the
                       newest 10,000 of a workspace are kept; actors are null
    Event Streams      sinks of other types than webhook, and with the method GET; schemas; filters of subscriptions
    webhooks           redirects; the connection overrides `sni` and `e`; self-signed TLS
    REST               rate limits and their headers; CORS headers; an ETag on lists; limits of the account (15,000
                       workers, queues, ...); several accounts; subaccounts; edges and regions
    faults             only of the REST API, and only once a request was read: connections are always accepted, names
                       always resolved, requests never read slowly; a reset is an RST of this machine's own TCP, so
                       nothing is lost or late in between; one fault of the connection per request
    persistence        all state is in memory: the end of the process is the end of the account

Twilio rarely documents what it refuses: when something is in use and cannot be deleted, how a malformed attribute is
answered, what a client may set. The emulator is strict, so that what passes here passes there; where there is a switch,
it decides.

Packages, each importing only those before it:

    model        records and pure rules: expressions, workflow configuration, routing, instructions, events
    engine       what changes the records: `state` and the rules behind it
    callbacks    sends assignment and event callbacks        transport   HTTP server and faults
    rest         the REST API
    console      the page                                     `control`   the control API
    `server`     the running emulator; `testing` and `pytest_plugin` use it in tests
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskrouter_emulator.server import EMULATOR_ONLY, EmulatorServer

__all__ = ["EMULATOR_ONLY", "EmulatorServer"]


def __getattr__(name: str) -> object:
    """Load the server on first use: importing the package alone, as pytest does for the plugin, loads no Flask."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from taskrouter_emulator import server  # noqa: PLC0415 - on first use, see above

    return getattr(server, name)
