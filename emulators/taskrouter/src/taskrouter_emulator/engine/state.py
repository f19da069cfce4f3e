"""The state of one emulated account: its workspaces and the rules by which they change.

Pure: no HTTP, and no time but the clock that is passed in. The rules are in modules that share one `Store`:
`provisioning` and `removal` (set-up), `tasks`, `workflow_progress`, `reservations`, and `transitions` below them all.
Callbacks are passed to a function after the lock was released.

Records that this class returns are live. Code that reads several of them while others write uses `transaction()`, which
nests.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from taskrouter_emulator.engine.event_streams import EventStreams
from taskrouter_emulator.engine.provisioning import Provisioning
from taskrouter_emulator.engine.removal import Removal
from taskrouter_emulator.engine.reservations import Reservations
from taskrouter_emulator.engine.store import Outgoing, Store
from taskrouter_emulator.engine.tasks import Tasks
from taskrouter_emulator.engine.transitions import Transitions
from taskrouter_emulator.engine.workflow_progress import WorkflowProgress
from taskrouter_emulator.model.clock import VirtualClock
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import Workspace
from taskrouter_emulator.model.switches import Switches


class State:
    """The account.

    provisioning: creates and changes workspaces and their set-up; removal: deletes it; tasks: creates, changes and
    deletes tasks; reservations: changes reservations and their workers; transitions: has the backlog of each workspace.
    event_streams: the account's sinks and subscriptions.
    seed: makes SIDs reproducible; None makes them random.
    """

    def __init__(
        self,
        account_sid: str,
        clock: VirtualClock,
        log: Log,
        switches: Switches,
        seed: str | None = None,
    ) -> None:
        self._store = Store(account_sid, clock, log, switches, seed)
        self.account_sid = account_sid
        self.clock = clock
        self.log = log
        self.switches = switches
        self.transitions = transitions = Transitions(self._store)
        progress = WorkflowProgress(self._store, transitions)
        self.tasks = Tasks(self._store, transitions, progress)
        self.reservations = Reservations(self._store, transitions, progress, self.tasks)
        self.provisioning = Provisioning(self._store, progress)
        self.removal = Removal(self._store)
        self.event_streams = EventStreams(self._store)
        self._store.publish = self.event_streams.publish
        self._store.route = self.reservations.route

    @property
    def workspaces(self) -> dict[str, Workspace]:
        return self._store.workspaces

    def transaction(self) -> AbstractContextManager[None]:
        """Exclude other readers and writers; at the end, tasks are routed and callbacks sent."""
        return self._store.transaction()

    def send_with(self, send: Callable[[Outgoing], None]) -> None:
        """Set the function that sends callbacks; it is called without the lock and must return soon."""
        self._store.send = send

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action in this many virtual seconds; it runs in a transaction."""
        with self._store.transaction():
            self._store.after(seconds, action)

    def process_due(self) -> None:
        """Do everything that is due: time-outs, expiries, call legs that are answered."""
        self._store.process_due()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and do all that falls due on the way, each at its own time."""
        self._store.advance(seconds)
