"""The adapters that the flows work with; they arrive as one argument of each flow's constructor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from enrich.domain.deliveries import FollowupAttempt

if TYPE_CHECKING:
    from enrich.customers.store import CustomerStore
    from enrich.journal.followups import FollowupQueue
    from enrich.journal.receipts import Journal
    from enrich.journal.task_states import TaskStates
    from enrich.taskrouter.client import TaskRouterClient

# `Adapters.pause` waits between half and this many times the seconds that it is given.
JITTER = 1.5


@dataclass(frozen=True, slots=True)
class Adapters:
    """Everything through which a flow reaches the database, TaskRouter and the clock.

    time_limit: a context manager that raises OutOfTime in its block after that many seconds. now: the time, aware, in
    UTC. pause: waits about that many seconds, with jitter, so that what failed together does not retry together; other
    greenlets run meanwhile. observe: is called with every attempt at a follow-up.
    """

    journal: Journal
    task_states: TaskStates
    store: CustomerStore
    followups: FollowupQueue
    taskrouter: TaskRouterClient
    time_limit: Callable[[float], AbstractContextManager[None]]
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    observe: Callable[[FollowupAttempt], None] = lambda _attempt: None
