"""What the page's buttons make: sample tasks of invented people, and a small workspace to try them in."""

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


def small_workspace(state: State, callback_url: str) -> Workspace:
    """A workspace with a queue for everybody, a workflow that asks this URL ("": nobody), and two available workers.

    callback_url: the fallback is asked at the same with `/fallback` behind it. Raises ValueError where it is no URL.
    """
    if callback_url and not callback_url.startswith(("http://", "https://")):
        raise ValueError("the callback URL must begin with http:// or https://")
    setup = state.provisioning
    with state.transaction():
        made = setup.create_workspace("Try it")
        queue = setup.create_task_queue(made, "Everybody", target_workers="1==1")
        setup.create_workflow(
            made,
            "Everything",
            json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}),
            assignment_callback_url=callback_url or None,
            fallback_assignment_callback_url=f"{callback_url}/fallback" if callback_url else None,
        )
        available = next(each for each in made.activities.values() if each.available)
        for name in ("dana", "samir"):
            attributes = json.dumps({"contact_uri": f"client:{name}"})
            setup.create_worker(made, name, attributes=attributes, activity=available)
    return made
