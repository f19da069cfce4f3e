"""Switches: what TaskRouter leaves to the account, or what its documentation leaves open, with our default."""

from dataclasses import asdict, dataclass, fields


@dataclass
class Switches:
    """Read whenever they matter, so they can be changed while the emulator runs.

    Where the documentation contradicts itself:

    target_timeouts_accumulate: a routing step ends when the task's age in its workflow reaches the sum of the time-outs
        so far (/task-evaluation). Off: when the time in this step alone reaches its own time-out.
    next_target_after_reservation_timeout: a missed reservation moves the task on to the next target, as the example on
        /task-evaluation has it. Off: it stays in its target until that has timed out, as the lifecycle page says.
    workers_in_turn: the worker who was reserved longest ago is next, as the lifecycle page says. Off: whoever has gone
        longest without a task, as /order-workers says.

    What it does not say:

    default_channel_capacity: tasks at once per worker and channel, for workers made from now on; Twilio's default
        is not documented, 1 is what is commonly seen.
    lax_attributes: take attributes that are not JSON.
    no_content_is_an_answer: take 204 on an assignment callback as "no action". The documentation asks for 200.
    attributes_are_evaluated_anew: writing a pending task's attributes sends it to the beginning of its workflow.
    unmatched_tasks_are_refused: a task that fits no filter, where there is no default filter, is refused with a 400.
        Off: it is created and canceled at once.
    lists_without_attributes: lists of tasks have null for attributes, as the document allows; only a fetch has them.
    assignment_timestamp: the assignment callback has the documented `Timestamp`, which no recording of one has.
    timeout_moves_worker: whoever misses a reservation goes into the workspace's time-out activity.

    How fast, and how well, things go:

    worker_answers_after_s: virtual seconds from dialling a worker to the connected call.
    worker_answers: dialled workers answer. Off: their leg fails, and a reservation that hung on it is canceled.
    assigned_after_s: virtual seconds from an accepted reservation to the assigned task; real ones are not 0.
    assignment_deadline_s: seconds for the whole answer to an assignment callback.
    event_deadline_s: seconds for the whole answer to an event callback.
    duplicate_callbacks: send each assignment callback twice at once, with one idempotency token. What is answered to
        the second is logged and not obeyed, as when something in between had repeated the request.
    duplicate_events: send each event callback twice at once, likewise.
    lost_events: send no event callbacks. The Events resource has them all the same, for whoever catches up.
    swapped_events: hold every other event callback back until the one after it has been answered, or a virtual second
        has passed.
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
    timeout_moves_worker: bool = True
    worker_answers_after_s: float = 0.05
    worker_answers: bool = True
    assigned_after_s: float = 0.0
    assignment_deadline_s: float = 5.0
    event_deadline_s: float = 15.0
    duplicate_callbacks: bool = False
    duplicate_events: bool = False
    lost_events: bool = False
    swapped_events: bool = False

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def update(self, changes: dict[str, object]) -> None:
        """Sets several at once. Raises ValueError, with nothing set, for an unknown name or a value of another type."""
        types = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if name not in types:
                raise ValueError(f"no such switch: {name}; there are: {', '.join(types)}")
            if types[name] is float and type(value) is int:
                continue
            if type(value) is not types[name]:
                raise ValueError(f"{name} must be {types[name].__name__}, not {value!r}")
        for name, value in changes.items():
            setattr(self, name, value)
