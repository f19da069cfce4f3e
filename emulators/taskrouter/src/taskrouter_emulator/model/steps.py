"""Routing steps: the first step of a task in its workflow, and the next.

Pure. Filters are tried from top to bottom; the targets of the matching filter, in order. The default filter is for
tasks that no filter matches, and for those that skipped all targets; a task that timed out never reaches it. Sources:
https://www.twilio.com/docs/taskrouter/workflow-configuration, /task-evaluation and /worker-presence
"""

from collections.abc import Mapping
from dataclasses import dataclass

from taskrouter_emulator.model.workflow_configuration import FilterTarget, WorkflowConfiguration, WorkflowFilter


@dataclass(frozen=True, eq=False)
class RoutingStep:
    """The position of a task in its workflow.

    filter_at: the filter's index, None for the default filter. timeouts_s: the sum of the time-outs of all targets up
    to and including this one. timed_out: an earlier target timed out.
    """

    configuration: WorkflowConfiguration
    filter: WorkflowFilter
    filter_at: int | None
    target_at: int
    timeouts_s: int
    timed_out: bool = False

    @property
    def target(self) -> FilterTarget:
        return self.filter.targets[self.target_at]


def first_step(configuration: WorkflowConfiguration, attributes: Mapping[str, object]) -> RoutingStep | None:
    """Return the first step of a task with these attributes, None if no filter matches and there is no default."""
    return _match(configuration, 0, attributes, 0, timed_out=False)


def next_step(step: RoutingStep, attributes: Mapping[str, object], *, skipped: bool) -> RoutingStep | None:
    """Return the step after this one, None if it is the last.

    skipped: the task goes on because of `skip_if`; otherwise because the target timed out.
    """
    timed_out = step.timed_out or not skipped
    if step.target_at + 1 < len(step.filter.targets):
        at = step.target_at + 1
        return _step(step.configuration, step.filter, step.filter_at, at, step.timeouts_s, timed_out=timed_out)
    if step.filter_at is None:
        return None
    return _match(step.configuration, step.filter_at + 1, attributes, step.timeouts_s, timed_out=timed_out)


def _match(
    configuration: WorkflowConfiguration,
    start: int,
    attributes: Mapping[str, object],
    timeouts_s: int,
    *,
    timed_out: bool,
) -> RoutingStep | None:
    for at, candidate in enumerate(configuration.filters[start:], start):
        if candidate.expression is not None and candidate.expression(attributes):
            return _step(configuration, candidate, at, 0, timeouts_s, timed_out=timed_out)
    if configuration.default is not None and not timed_out:
        return _step(configuration, configuration.default, None, 0, timeouts_s, timed_out=timed_out)
    return None


def _step(
    configuration: WorkflowConfiguration,
    workflow_filter: WorkflowFilter,
    filter_at: int | None,
    target_at: int,
    earlier_s: int,
    *,
    timed_out: bool,
) -> RoutingStep:
    timeout_s = workflow_filter.targets[target_at].timeout_s or 0
    return RoutingStep(configuration, workflow_filter, filter_at, target_at, earlier_s + timeout_s, timed_out)
