"""A Twilio TaskRouter on your own machine, for tests and demos: REST, routing, signed callbacks, faults, and a clock.

    with EmulatorServer() as emulator:
        client.taskrouter.base_url = emulator.base_url

or `python -m enrich.emulator --port 8810` for a process of its own, driven over HTTP under `/_emulator/`; a page at `/`
tells what it is doing, and has buttons to have it do something (`face`).
It shares no code with the service: a shared mistake would agree with itself.

What is emulated, and the page of https://www.twilio.com/docs that says how it behaves:

    workspaces, activities, task channels    taskrouter/api/workspace, /activity, /task-channel
    task queues, workflows                   taskrouter/api/task-queue, /workflow, workflow-configuration
    workers and their channels               taskrouter/api/worker, /worker-channel, multitasking
    tasks and reservations                   taskrouter/api/task, /reservations, lifecycle-task-state, limits
    ETag, If-Match, 412                      usage/mutation-and-conflict-resolution
    assignment callbacks and instructions    taskrouter/handle-assignment-callbacks, api/errors/40000 and following
    event callbacks and the Events resource  taskrouter/api/event/reference
    signatures                               usage/webhooks/webhooks-security
    paging, errors                           usage/twilios-response

What is NOT emulated (what is refused says so, with a 400 or 405):

    workflows          filters with expressions, more than one filter or target, target expressions, time-outs,
                       skip_if, order_by, known workers, ReEvaluateTasks: refused
    task queues        parallel reservations (MaxReservedWorkers is kept, never more than one worker is reserved, so
                       nothing is ever rescinded); reservation and assignment activities of single-tasking
                       workspaces are kept and not used
    expressions        the signs `>-` and `<-`, list elements `a.b[2]`, worker.channel.… pseudo-fields: refused
    tasks              RoutingTarget, IgnoreCapacity, TaskQueueSid on creation: refused; add-ons; transfers
    reservations       Instruction=supervise: refused
    calls              there are none: a worker who is dialled always answers after `worker_answers_after_s`, nobody
                       hangs up, call status callbacks are not sent, the post-work activity is not entered
    events             only those of tasks, reservations, workers, workflow.entered and task-queue.entered;
                       TaskAddons is always `{}`; no disorder on request (they leave side by side, so their order is
                       not promised either)
    webhooks           connection overrides in the URL's fragment are stripped and not obeyed; no redirects
    REST               DELETE of anything but tasks (405/20004), statistics, cumulative and real-time; the Workspace
                       template FIFO (refused); rate limits and their headers; more than one account
    faults             of the REST side only, and once a request has been read: connections are always taken, names
                       always found, requests never read slowly; a reset as an RST of this machine's own TCP, so
                       nothing is lost or late in between; one fault of the connection per request

Reading order: `state` (and `records`, `store`, `provisioning`, `lifecycle`, `routing` under it), `instructions`,
`delivery`, `routes`, `faults`, `gate`, `sending`, `driving`, `server`. What can be made to go wrong stands in `faults`
(over REST) and `switches` (repeated callbacks).
"""

from .server import EMULATOR_ONLY, EmulatorServer

__all__ = ["EMULATOR_ONLY", "EmulatorServer"]
