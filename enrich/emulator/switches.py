"""Switches: what TaskRouter leaves to the account, or what its documentation leaves open, with our default."""

from dataclasses import asdict, dataclass, fields


@dataclass
class Switches:
    """Read whenever they matter, so they can be changed while the emulator runs.

    default_channel_capacity: tasks at once per worker and channel, for workers made from now on; Twilio's default
        is not documented, 1 is what is commonly seen.
    lax_attributes: take attributes that are not JSON. Whether TaskRouter does is not documented.
    no_content_is_an_answer: take 204 on an assignment callback as "no action". The documentation asks for 200.
    worker_answers_after_s: virtual seconds from dialling a worker to the connected call.
    assignment_deadline_s: seconds for the whole answer to an assignment callback.
    event_deadline_s: seconds for the whole answer to an event callback.
    duplicate_callbacks: send each assignment callback twice at once, with one idempotency token. What is answered to
        the second is logged and not obeyed, as when something in between had repeated the request.
    duplicate_events: send each event callback twice at once, likewise.
    """

    default_channel_capacity: int = 1
    lax_attributes: bool = False
    no_content_is_an_answer: bool = False
    worker_answers_after_s: float = 0.05
    assignment_deadline_s: float = 5.0
    event_deadline_s: float = 15.0
    duplicate_callbacks: bool = False
    duplicate_events: bool = False

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
