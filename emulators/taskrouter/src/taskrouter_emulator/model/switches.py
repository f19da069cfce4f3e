"""Switches: choices that TaskRouter leaves to the account, or its documentation leaves open, with their defaults."""

from dataclasses import asdict, dataclass, fields


@dataclass
class Switches:
    """The switches. They are read when needed, so they can be changed while the emulator runs.

    Where the documentation contradicts itself:

    target_timeouts_accumulate: a routing step ends when the task's age in its workflow reaches the sum of the time-outs
        so far (/task-evaluation). Off: when the time in this step alone reaches its own time-out.
    next_target_after_reservation_timeout: a reservation time-out moves the task to the next target, as in the example
        on /task-evaluation. Off: it stays in its target until that times out, as on the lifecycle page.
    workers_in_turn: the worker who was reserved longest ago is next, as on the lifecycle page. Off: the worker with the
        longest time without a task, as on /order-workers.

    Where it is silent:

    default_channel_capacity: tasks at once per worker and channel, for workers created from now on; Twilio's default
        is not documented, 1 is commonly seen.
    lax_attributes: accept attributes that are not JSON.
    no_content_is_an_answer: accept 204 on an assignment callback as "no action". The documentation asks for 200.
    attributes_are_evaluated_anew: writing a pending task's attributes sends it to the beginning of its workflow.
    unmatched_tasks_are_refused: without a default filter, a task that matches no filter is refused with a 400.
        Off: it is created and canceled at once.
    lists_without_attributes: lists of tasks have null for attributes, as the document allows; only a fetch has them.
    assignment_timestamp: the assignment callback has the documented `Timestamp`, which no recording has.
    newer_event_fields: events have OperatingUnitSid, TaskVersion, TaskAgeInQueue, ReservationVersion and others that
        the Events resource shows and the reference page lacks; their spelling in callbacks is not documented.
    single_streamed_event_is_an_object: a sink without batches gets one CloudEvent as an object. Off: an array of one.
    timeout_moves_worker: a worker who misses a reservation goes into the workspace's time-out activity.

    Speed and failures:

    worker_answers_after_s: virtual seconds from dialling a worker to the connected call.
    worker_answers: dialled workers answer. Off: their call leg fails, and a reservation on hold for it is canceled.
    assigned_after_s: virtual seconds from an accepted reservation to the assigned task; 0 is faster than Twilio.
    assignment_deadline_s: seconds for the whole response to an assignment callback.
    event_deadline_s: seconds for the whole response to an event callback.
    stream_deadline_s: seconds for the whole response of a sink of Event Streams.
    stream_retries: how often a delivery to a sink is repeated, after 1, 2, 4, ... virtual seconds, until it gets a 2xx.
    duplicate_callbacks: send each assignment callback twice at once, with one idempotency token. The second response
        is logged and ignored, as if a proxy had repeated the request.
    duplicate_events: send each event callback, and each delivery to a sink, twice at once, likewise.
    lost_events: send no event callbacks, and nothing to sinks. The Events resource still has the events.
    swapped_events: hold every other event callback back until the one after it was answered, or a virtual second
        has passed. Batches for sinks are in reverse order.
    """

    target_timeouts_accumulate: bool = True
    next_target_after_reservation_timeout: bool = False
    workers_in_turn: bool = False
    default_channel_capacity: int = 1
    lax_attributes: bool = False
    no_content_is_an_answer: bool = False
    attributes_are_evaluated_anew: bool = False
    unmatched_tasks_are_refused: bool = False
    lists_without_attributes: bool = False
    assignment_timestamp: bool = False
    newer_event_fields: bool = True
    single_streamed_event_is_an_object: bool = False
    timeout_moves_worker: bool = True
    worker_answers_after_s: float = 0.05
    worker_answers: bool = True
    assigned_after_s: float = 0.0
    assignment_deadline_s: float = 5.0
    event_deadline_s: float = 15.0
    stream_deadline_s: float = 5.0
    stream_retries: int = 3
    duplicate_callbacks: bool = False
    duplicate_events: bool = False
    lost_events: bool = False
    swapped_events: bool = False

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def update(self, changes: dict[str, object]) -> None:
        """Set several switches. Raises ValueError, with none set, for an unknown name or a value of another type."""
        types = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if name not in types:
                raise ValueError(f"unknown switch {name}; the switches are {', '.join(types)}")
            if types[name] is float and type(value) is int:
                continue
            if type(value) is not types[name]:
                raise ValueError(f"{name} must be {types[name].__name__}, not {value!r}")
        for name, value in changes.items():
            setattr(self, name, value)
