"""The way of a task through its workflow's configuration: which routing step is the first, and which the next.

Pure. Filters are tried from top to bottom; the targets of the one that fits, in order. The default filter is for tasks
that no filter fitted, and for those that skipped all that did; one that timed out never falls into it.
Sources: https://www.twilio.com/docs/taskrouter/workflow-configuration, /task-evaluation and /worker-presence
"""

from collections.abc import Mapping
from dataclasses import dataclass

from taskrouter_emulator.model.workflow_configuration import Configuration, Filter, Target


@dataclass(frozen=True, eq=False)
class Step:
    """Where a task stands.

    filter_at: the filter's index, None for the default filter. timeouts_s: the sum of the time-outs of all targets up
    to this one, itself included. timed_out: a target before this one ran out of time.
    """

    configuration: Configuration
    filter: Filter
    filter_at: int | None
    target_at: int
    timeouts_s: int
    timed_out: bool = False

    @property
    def target(self) -> Target:
        return self.filter.targets[self.target_at]


def first_step(configuration: Configuration, attributes: Mapping[str, object]) -> Step | None:
    """Where a task with these attributes begins; None if no filter fits and there is no default."""
    return _match(configuration, 0, attributes, 0, timed_out=False)


def next_step(step: Step, attributes: Mapping[str, object], *, skipped: bool) -> Step | None:
    """Where the task goes from here, None if this was the last step.

    skipped: it goes on because of `skip_if`; otherwise because the target's time is over.
    """
    timed_out = step.timed_out or not skipped
    if step.target_at + 1 < len(step.filter.targets):
        at = step.target_at + 1
        return _step(step.configuration, step.filter, step.filter_at, at, step.timeouts_s, timed_out)
    if step.filter_at is None:
        return None
    return _match(step.configuration, step.filter_at + 1, attributes, step.timeouts_s, timed_out=timed_out)


def _match(
    configuration: Configuration, start: int, attributes: Mapping[str, object], timeouts_s: int, *, timed_out: bool
) -> Step | None:
    for at, candidate in enumerate(configuration.filters[start:], start):
        if candidate.expression is not None and candidate.expression(attributes):
            return _step(configuration, candidate, at, 0, timeouts_s, timed_out)
    if configuration.default is not None and not timed_out:
        return _step(configuration, configuration.default, None, 0, timeouts_s, timed_out)
    return None


def _step(
    configuration: Configuration, chosen: Filter, filter_at: int | None, target_at: int, before_s: int, timed_out: bool
) -> Step:
    own_s = chosen.targets[target_at].timeout_s or 0
    return Step(configuration, chosen, filter_at, target_at, before_s + own_s, timed_out)
