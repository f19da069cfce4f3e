"""The link to the card travels on the task, and opens there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import requests

from tests.support.contact_centre import ContactCentre, Service


def test_the_token_on_the_task_opens_its_card(
    start_service: Callable[..., Service], open_centre: Callable[..., ContactCentre]
) -> None:
    service = start_service(ENRICH_FRAME_ANCESTORS="https://flex.example.test")
    centre = open_centre(service)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    token = centre.block(task_sid)["card"]
    card = requests.get(f"{service.url}/card/{task_sid}", params={"token": token}, timeout=5)
    assert card.status_code == 200
    assert "Ada Lovelace" in card.text
    assert card.headers["Content-Security-Policy"].endswith("frame-ancestors https://flex.example.test")
    other_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(other_sid)
    assert centre.block(other_sid)["card"] != token
    assert requests.get(f"{service.url}/card/{other_sid}", params={"token": token}, timeout=5).status_code == 403


def test_a_visitor_cannot_put_a_card_of_their_own_there(
    start_service: Callable[..., Service], open_centre: Callable[..., ContactCentre]
) -> None:
    service = start_service(ENRICH_FRAME_ANCESTORS="https://flex.example.test")
    centre = open_centre(service)
    forged = {"match": "matched", "customer_id": "C-1001", "card": "//evil.example.test/xxxx"}
    task_sid = centre.task_arrives({"channelType": "web", "email": "ada@example.com", "crm": forged})
    centre.answer(task_sid)
    block = centre.block(task_sid)
    assert block["match"] == "claimed"
    card = requests.get(f"{service.url}/card/{task_sid}", params={"token": block["card"]}, timeout=5)
    assert "Verify first" in card.text
    assert "Ada" not in card.text


def test_without_the_setting_the_block_leads_to_no_card(service: Service, centre: ContactCentre) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    assert "card" not in centre.block(task_sid)
