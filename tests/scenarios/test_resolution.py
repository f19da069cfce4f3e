"""Resolution by staff: the live task changes at TaskRouter at once, the caller's others by the worker; undo, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select

from enrich.customers import records
from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.customers.identifiers import Identifier
from enrich.customers.records import Actor
from enrich.customers.tables import AuditRow
from enrich.customers.undo import undo_change
from enrich.flows.resolution import Resolution, Resolver
from enrich.services import Services
from tests.support.contact_centre import ContactCentre, Service

UNKNOWN = "+12125550177"
SHARED = "+16175550142"  # Maria and Tom Bell's


@pytest.fixture
def resolver(services: Services) -> Iterator[Resolver]:
    """Dana's; what she changed is undone afterwards, the last first, since the service is shared by all tests."""
    dana = Actor(1, "dana@example.com")
    resolver = Resolver(services.database, services.adapters, services.enricher, dana)
    newest = select(func.coalesce(func.max(AuditRow.id), 0))
    before = services.database.read(newest)[0][0]
    yield resolver
    made = services.database.read(select(AuditRow.id).where(AuditRow.id > before).order_by(AuditRow.id.desc()))
    for (audit_id,) in made:
        with services.database.transaction() as session:
            undo_change(session, audit_id, dana, services.adapters.now())
    work(services)


def work(services: Services) -> None:
    while services.dispatcher.run_batch():
        pass


def phone(number: str) -> Identifier:
    return Identifier("phone", number)


def arrives(centre: ContactCentre, caller: str, **attributes: str) -> str:
    task_sid = centre.task_arrives({"from": caller, **attributes})
    centre.answer(task_sid)
    return task_sid


def test_an_unknown_number_is_linked_and_the_live_task_and_the_callers_others_change(
    centre: ContactCentre, service: Service, resolver: Resolver, services: Services
) -> None:
    first, second, other = arrives(centre, UNKNOWN), arrives(centre, UNKNOWN), arrives(centre, "+12125550178")
    assert centre.block(first) == {"match": "none", "reason": "no_such_key"}
    settled = resolver.choose(first, "C-1001", phone(UNKNOWN))
    assert settled.live is not None
    assert (settled.live.outcome, settled.live.is_owed) == ("enriched", False)
    assert settled.others >= 1
    block = centre.block(first)
    assert (block["match"], block["by"], block["customer_id"]) == ("matched", "phone", "C-1001")
    assert centre.block(second)["match"] == "none"
    work(services)
    assert centre.block(second)["customer_id"] == "C-1001"
    assert centre.block(other)["match"] == "none"
    assert all(row.done_at is not None for row in service.owed(first) + service.owed(second))
    assert [row.kind for row in service.entries(task_sid=first)] == ["assignment", "staff"]

    assert settled.change is not None
    undone = resolver.undo(settled.change.audit_id, first)
    assert isinstance(undone, Resolution)
    assert undone.others >= 1
    assert centre.block(first) == {"match": "none", "reason": "no_such_key"}
    work(services)
    assert centre.block(second) == {"match": "none", "reason": "no_such_key"}


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("whatsapp:HU.2782093025461110", Identifier("whatsapp", "hu.2782093025461110")),
        ("messenger:2782093025461110", Identifier("messenger", "2782093025461110")),
        ("+13125550170", Identifier("phone", "+13125550170")),
    ],
    ids=["a WhatsApp user", "a Messenger user", "a switchboard whose extensions others have"],
)
def test_an_address_is_a_customers_from_now_on(
    centre: ContactCentre, resolver: Resolver, services: Services, address: str, key: Identifier
) -> None:
    first = arrives(centre, address)
    assert centre.block(first)["match"] in ("none", "claimed")
    for customer_id in ("C-1001", "C-1006"):
        resolver.choose(first, customer_id, key)
        block = centre.block(first)
        assert (block["match"], block["by"], block["customer_id"]) == ("matched", key.kind, customer_id)
        later = centre.block(arrives(centre, address))
        assert (later["match"], later["trust"], later["customer_id"]) == ("matched", "verified", customer_id)


def test_an_ambiguous_number_is_settled_for_this_task_only(
    centre: ContactCentre, service: Service, resolver: Resolver, services: Services
) -> None:
    task_sid = arrives(centre, SHARED)
    assert centre.block(task_sid)["match"] == "ambiguous"
    settled = resolver.choose(task_sid, "C-1004", None)
    assert settled.others == 0
    block = centre.block(task_sid)
    assert (block["match"], block["by"], block["trust"], block["name"]) == ("matched", "staff", "verified", "Tom Bell")
    # The next callback of the same task follows it; another task with the same number is ambiguous as before.
    again = arrives(centre, SHARED)
    assert centre.block(again)["match"] == "ambiguous"
    resolver.enrich_again(task_sid)
    assert centre.block(task_sid)["name"] == "Tom Bell"
    resolver.release(task_sid)
    assert centre.block(task_sid)["match"] == "ambiguous"


def test_the_callback_follows_what_staff_said_of_the_task(
    centre: ContactCentre, service: Service, resolver: Resolver, make_callback: Callable[..., dict[str, str]]
) -> None:
    task_sid = arrives(centre, SHARED)
    resolver.choose(task_sid, "C-1003", None)
    form = make_callback(
        WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes=centre.attributes(task_sid)
    )
    assert service.post("/taskrouter/assignment", form).status_code == 200
    entry = service.entries(task_sid=task_sid)[-1]
    assert (entry.kind, entry.match, entry.by, entry.customer_id) == ("assignment", "matched", "staff", "C-1003")


def test_an_ambiguous_number_is_given_to_one_from_now_on(
    centre: ContactCentre, resolver: Resolver, services: Services
) -> None:
    first, second = arrives(centre, SHARED), arrives(centre, SHARED)
    settled = resolver.choose(first, "C-1003", phone(SHARED))
    assert centre.block(first)["by"] == "phone"
    assert settled.others >= 1
    work(services)
    assert centre.block(second)["name"] == "Maria Bell"
    third = arrives(centre, SHARED)
    assert centre.block(third)["match"] == "matched"


def test_confirming_a_claim_is_about_this_task_alone(centre: ContactCentre, resolver: Resolver) -> None:
    task_sid = centre.task_arrives({"channelType": "web", "email": "ada@example.com"}, channel="chat")
    centre.answer(task_sid)
    assert centre.block(task_sid)["match"] == "claimed"
    resolver.choose(task_sid, "C-1001", None)
    assert centre.block(task_sid)["match"] == "matched"
    again = centre.task_arrives({"channelType": "web", "email": "ada@example.com"}, channel="chat")
    centre.answer(again)
    assert centre.block(again)["match"] == "claimed"


def test_a_typed_address_that_is_linked_settles_the_task_too(centre: ContactCentre, resolver: Resolver) -> None:
    """By itself a claimed key would leave the task claimed, although staff have said who it is."""
    task_sid = centre.task_arrives({"channelType": "web", "email": "new.address@example.com"}, channel="chat")
    centre.answer(task_sid)
    resolver.choose(task_sid, "C-1001", Identifier("email", "new.address@example.com"))
    assert centre.block(task_sid)["by"] == "staff"


def test_a_wrong_match_is_unlinked(centre: ContactCentre, resolver: Resolver) -> None:
    task_sid = arrives(centre, "+14155550100")
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    resolver.unlink(task_sid, "C-1001", phone("+14155550100"))
    assert centre.block(task_sid) == {"match": "none", "reason": "no_such_key"}


def test_a_wrong_match_can_be_wrong_for_this_task_only(centre: ContactCentre, resolver: Resolver) -> None:
    task_sid = arrives(centre, "+14155550100")
    resolver.nobody(task_sid)
    assert centre.block(task_sid) == {"match": "none", "reason": "set_by_staff"}
    assert centre.block(arrives(centre, "+14155550100"))["customer_id"] == "C-1001"


def test_a_new_customer_is_made_for_the_caller_and_unmade_by_one_undo(
    centre: ContactCentre, resolver: Resolver, services: Services
) -> None:
    task_sid = arrives(centre, UNKNOWN)
    hedy = read_customer({"id": "S-TEST", "name": "Hedy Lamarr"}, "US")
    assert isinstance(hedy, CustomerFixture)
    settled = resolver.create(task_sid, hedy, phone(UNKNOWN))
    assert centre.block(task_sid)["name"] == "Hedy Lamarr"
    assert settled.change is not None
    resolver.undo(settled.change.audit_id, task_sid)
    assert centre.block(task_sid)["match"] == "none"
    with services.database.reading() as session:
        assert records.read(session, ["S-TEST"]) == {"S-TEST": None}


def test_what_taskrouter_does_not_take_now_is_said_and_done_later(
    centre: ContactCentre, service: Service, resolver: Resolver, services: Services
) -> None:
    task_sid = arrives(centre, UNKNOWN)
    centre.emulator.faults.status(401, path="/Tasks/WT")
    settled = resolver.choose(task_sid, "C-1001", phone(UNKNOWN))
    assert settled.live is not None
    assert (settled.live.outcome, settled.live.reason, settled.live.is_owed) == (
        "could_not_write",
        "not_authorized",
        True,
    )
    centre.emulator.faults.clear()
    work(services)
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    assert [row.done_at is not None for row in service.owed(task_sid)] == [True]


def test_a_task_that_is_over_is_said_to_be_over(centre: ContactCentre, service: Service, resolver: Resolver) -> None:
    task_sid = arrives(centre, UNKNOWN)
    centre.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")
    settled = resolver.choose(task_sid, "C-1001", phone(UNKNOWN))
    assert settled.live is not None
    assert (settled.live.outcome, settled.live.is_owed) == ("gone", False)
    (entry,) = service.entries(task_sid=task_sid, kind="staff")
    assert (entry.match, entry.customer_id, entry.customer_name) == ("matched", "C-1001", "Ada Lovelace")
    assert entry.attributes_after is None


def test_a_decision_is_undone_although_another_one_was_made_since(centre: ContactCentre, resolver: Resolver) -> None:
    task_sid = arrives(centre, UNKNOWN)
    first = resolver.choose(task_sid, "C-1001", phone(UNKNOWN))
    second = resolver.choose(task_sid, "C-1002", phone(UNKNOWN))
    assert first.change is not None
    assert second.change is not None
    resolver.undo(first.change.audit_id, task_sid)
    assert centre.block(task_sid)["customer_id"] == "C-1002"
    resolver.undo(second.change.audit_id, task_sid)
    assert centre.block(task_sid)["match"] == "none"


def test_what_is_so_already_changes_nothing(centre: ContactCentre, resolver: Resolver) -> None:
    task_sid = arrives(centre, UNKNOWN)
    resolver.choose(task_sid, "C-1001", phone(UNKNOWN))
    assert resolver.choose(task_sid, "C-1001", phone(UNKNOWN)) == Resolution(None)


def test_two_customers_are_merged_and_open_tasks_follow(
    centre: ContactCentre, resolver: Resolver, services: Services
) -> None:
    shared, toms = arrives(centre, SHARED), centre.task_arrives({"customerAddress": "tom.bell@example.com"})
    centre.answer(toms)
    assert centre.block(shared)["match"] == "ambiguous"
    settled = resolver.merge("C-1003", "C-1004", versions(services, "C-1003", "C-1004"))
    assert isinstance(settled, Resolution)
    work(services)
    assert centre.block(shared)["customer_id"] == "C-1003"
    assert centre.block(toms)["customer_id"] == "C-1003"
    by_old_id = centre.task_arrives({"customer_id": "C-1004"})
    centre.answer(by_old_id)
    assert centre.block(by_old_id)["customer_id"] == "C-1003"
    assert settled.change is not None
    resolver.undo(settled.change.audit_id, None)
    work(services)
    assert centre.block(shared)["match"] == "ambiguous"
    assert centre.block(toms)["customer_id"] == "C-1004"


def versions(services: Services, *customer_ids: str) -> dict[str, int]:
    with services.database.reading() as session:
        return {one: records.version(session, one) or 0 for one in customer_ids}


def test_a_stored_callback_is_replayed_from_a_fresh_read(
    centre: ContactCentre, service: Service, resolver: Resolver
) -> None:
    task_sid = arrives(centre, UNKNOWN)
    (entry,) = service.entries(task_sid=task_sid)
    centre.workspace.tasks(task_sid).update(attributes='{"from":"+14155550100"}')
    settled = resolver.replay(task_sid, entry.raw_form)
    assert settled.live is not None
    assert (settled.live.outcome, centre.block(task_sid)["customer_id"]) == ("enriched", "C-1001")
    broken = resolver.replay(task_sid, "TaskSid=nonsense")
    assert broken.live is not None
    assert (broken.live.outcome, broken.live.is_owed) == ("malformed", False)
