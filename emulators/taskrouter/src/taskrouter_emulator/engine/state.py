"""The state of one emulated account: its workspaces and the rules by which everything in them changes.

Pure: no HTTP, and no time but the injected clock's. The rules stand in files that share one `Store`: `provisioning`
and `removal` (what is set up), `tasks`, `journey` (a task's way through its workflow, by `steps`), `reservations`,
`routing` (who gets which task) and `moves` (the small moves under them all). What has to be sent is handed to a
function, after the lock is released.

Records that come out of here are live. Whoever reads several of them while others write does so inside
`transaction()`, which nests.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from taskrouter_emulator.engine.provisioning import Provisioning
from taskrouter_emulator.engine.removal import Removal
from taskrouter_emulator.engine.reservations import Reservations
from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.engine.tasks import Tasks
from taskrouter_emulator.engine.transitions import Moves
from taskrouter_emulator.engine.workflow_progress import Journey
from taskrouter_emulator.model.clock import VirtualClock
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import Outgoing, Workspace
from taskrouter_emulator.model.switches import Switches


class State:
    """Everything the emulator knows.

    provisioning: creates and changes workspaces and what stands in them; removal: deletes it; tasks: creates, changes
    and deletes tasks; reservations: moves reservations and their workers; moves: has the lines in which tasks wait.
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
        self.moves = moves = Moves(self._store)
        journey = Journey(self._store, moves)
        self.tasks = Tasks(self._store, moves, journey)
        self.reservations = Reservations(self._store, moves, journey, self.tasks)
        self.provisioning = Provisioning(self._store, journey)
        self.removal = Removal(self._store)
        self._store.route = self.reservations.route

    @property
    def workspaces(self) -> dict[str, Workspace]:
        return self._store.workspaces

    def transaction(self) -> AbstractContextManager[None]:
        """Nobody else reads or writes meanwhile; routing happens, and callbacks go out, at its end."""
        return self._store.transaction()

    def send_with(self, send: Callable[[Outgoing], None]) -> None:
        """Names the function that takes what has to be sent; it is called without the lock and must return soon."""
        self._store.send = send

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plans an action for this many virtual seconds from now; it is done without anybody else writing meanwhile."""
        with self._store.transaction():
            self._store.after(seconds, action)

    def process_due(self) -> None:
        """Does everything that is due by now: time-outs, expiries, workers' legs that answer."""
        self._store.process_due()

    def advance(self, seconds: float) -> None:
        """Puts the clock forward and does everything that falls due on the way, each at its own time."""
        self._store.advance(seconds)
