"""Samples for the page's buttons: tasks of invented people, and a small workspace for them."""

import json

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.records import Workspace

# name: (task channel, attributes)
SAMPLES: dict[str, tuple[str, dict[str, object]]] = {
    "Call": (
        "voice",
        {
            "from": "+14155550100",
            "to": "+14155550199",
            "direction": "inbound",
            "call_sid": "CA" + "0" * 32,
            "caller_country": "US",
        },
    ),
    "Withheld caller": (
        "voice",
        {"from": "+266696687", "to": "+14155550199", "direction": "inbound", "call_sid": "CA" + "1" * 32},
    ),
    "Web chat": (
        "chat",
        {"channelType": "web", "customerName": "Ada", "email": "ada@example.com", "topic": "billing"},
    ),
    "Message": ("sms", {"channelType": "sms", "from": "+14155550104", "customerAddress": "+14155550104"}),
    "Case": ("default", {"customer_id": "C-1003", "topic": "a broken gear"}),
}


def create_sample_workspace(state: State, callback_url: str) -> Workspace:
    """Create a workspace with a queue for every worker, a workflow, and two available workers.

    callback_url: the assignment callback URL, or "" for none; its fallback is the same with `/fallback` added.
    Raises ValueError if it is not an http or https URL.
    """
    if callback_url and not callback_url.startswith(("http://", "https://")):
        raise ValueError("the callback URL must begin with http:// or https://")
    provisioning = state.provisioning
    with state.transaction():
        workspace = provisioning.create_workspace("Sample")
        queue = provisioning.create_task_queue(workspace, "Everybody", target_workers="1==1")
        provisioning.create_workflow(
            workspace,
            "Everything",
            json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}),
            assignment_callback_url=callback_url or None,
            fallback_assignment_callback_url=f"{callback_url}/fallback" if callback_url else None,
        )
        available = next(activity for activity in workspace.activities.values() if activity.available)
        for name in ("dana", "samir"):
            attributes = json.dumps({"contact_uri": f"client:{name}"})
            provisioning.create_worker(workspace, name, attributes=attributes, activity=available)
    return workspace
