"""The state of calls: what events and snapshots add up to, however they race each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from streamd.connectors.o2g.calls import Calls
from streamd.connectors.o2g.entities import Call, Leg
from streamd.connectors.o2g.row import Row
from streamd.connectors.o2g.telephony import CallCreated, CallModified, CallRemoved, UserSnapshot
from streamd.connectors.o2g.wire import decode_message
from streamd.errors import BadRecord
from streamd.model import Event, State

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LOGIN = "oxe1001"


def published(data: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(data))


class Board:
    """The calls, fed with O2G's events; `topic` is what a consumer of the state topic holds."""

    def __init__(self, known: dict[str, bytes] | None = None) -> None:
        self.kept: dict[str, bytes] = dict(known or {})
        self.calls = Calls(self.kept)
        self.topic: dict[str, Any] = {}
        self.events: list[Event] = []

    def begin(self, *awaited: str) -> None:
        self.calls.begin(frozenset(awaited))

    def take(self, name: str, ref: str = "", login: str = LOGIN, **more: Any) -> Any:
        message = {"eventName": name, "loginName": login, **({"callRef": ref} if ref else {}), **more}
        event = decode_message(message, "test")
        assert not isinstance(event, BadRecord)
        items: list[Event | State] = []
        changes: dict[str, bytes | None] = {}
        takes: dict[type, Any] = {
            CallCreated: self.calls.created,
            CallModified: self.calls.modified,
            CallRemoved: self.calls.removed,
            UserSnapshot: self.calls.snapshot,
        }
        takes[type(event)](event, NOW, items, changes)
        self.publish(items, changes)
        return event

    def publish(self, items: list[Event | State], changes: dict[str, bytes | None]) -> None:
        for item in items:
            if isinstance(item, Event):
                self.events.append(item)
            elif item.data is None:
                self.topic.pop(item.key, None)
            else:
                self.topic[item.key] = published(item.data)
        for name, value in changes.items():
            if value is None:
                self.kept.pop(name, None)
            else:
                self.kept[name] = value

    def snapshot(self, *calls: dict[str, Any], login: str = LOGIN) -> None:
        self.take("OnTelephonyState", login=login, state={"calls": list(calls)})

    def states(self) -> dict[str, str]:
        return {key: call["call_state"] for key, call in self.topic.items()}

    @property
    def removals(self) -> list[tuple[str, str]]:
        return [(event.data.call_ref, event.data.reason) for event in self.events]


def data(state: str) -> dict[str, Any]:
    return {"callData": {"state": state, "tags": []}}


def call(ref: str, state: str, **more: Any) -> dict[str, Any]:
    return {"callRef": ref, **data(state), "legs": [], "participants": [], **more}


def leg(device: str, state: str) -> dict[str, Any]:
    return {"deviceId": device, "state": state}


def test_a_call_is_what_its_events_add_up_to() -> None:
    board = Board()
    board.take(
        "OnCallCreated",
        "1",
        **data("DIALING"),
        legs=[leg("a", "DIALING")],
        participants=[],
    )
    board.take(
        "OnCallModified", "1", addedParticipants=[{"participantId": "p"}], addedLegs=[leg("b", "IDLE")]
    )
    board.take(
        "OnCallModified", "1", **data("ACTIVE"), modifiedLegs=[leg("a", "ACTIVE")], removedLegs=[leg("b", "")]
    )
    assert board.topic == {
        f"{LOGIN}|1": {
            "login_name": LOGIN,
            "call_ref": "1",
            "call_state": "active",
            "call_data": {"state": "ACTIVE", "tags": []},
            "legs": [{"device_id": "a", "state": "ACTIVE"}],
            "participants": [{"participant_id": "p"}],
        }
    }
    board.take("OnCallModified", "1", removedParticipantIds=["p"])
    assert board.topic[f"{LOGIN}|1"]["participants"] == []
    assert board.take("OnCallRemoved", "1").call_state == "removed"
    assert board.topic == board.kept == {}


def test_legs_and_participants_of_one_name_or_none_are_all_told() -> None:
    board = Board()
    board.take("OnCallCreated", "1", legs=[leg("a", "1"), {}, leg("a", "2"), {}], participants=[{}, {}])
    state = board.topic[f"{LOGIN}|1"]
    assert [each.get("state") for each in state["legs"]] == ["1", None, "2", None]
    assert state["participants"] == [{}, {}]
    board.take("OnCallModified", "1", modifiedLegs=[leg("a", "3")], addedParticipants=[{"state": "4"}])
    state = board.topic[f"{LOGIN}|1"]
    assert [each.get("state") for each in state["legs"]] == ["3", None, "2", None]
    assert state["participants"] == [{"state": "4"}, {}]


def test_a_state_that_was_told_is_not_altered_by_what_comes_after() -> None:
    row = Row()
    row.tell(Call(legs=[Leg(device_id="a", state="DIALING")]))
    told = row.state(LOGIN, "1")
    row.change(CallModified(modified_legs=[Leg(device_id="a", state="ACTIVE")]))
    states = [published(state)["legs"][0]["state"] for state in (told, row.state(LOGIN, "1"))]
    assert states == ["DIALING", "ACTIVE"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("OFF_HOOK", "dialing"),
        ("DIALING", "dialing"),
        ("RINGING_OUTGOING", "ringing_out"),
        ("RINGING_INCOMING", "ringing"),
        ("ACTIVE", "active"),
        ("HELD", "held"),
        ("RELEASING", "releasing"),
        ("IDLE", "idle"),
        ("UNKNOWN", "unknown"),
        ("LEVITATING", "unknown"),
    ],
)
def test_the_canonical_state_stands_beside_o2gs_word(word: str, state: str) -> None:
    board = Board()
    for name in ("OnCallCreated", "OnCallModified"):
        event = published(board.take(name, "1", **data(word)))
        assert (event["call_state"], event["call_data"]["state"]) == (state, word)
    event = published(board.take("OnTelephonyState", state={"calls": [call("2", word)]}))
    assert [each["call_state"] for each in event["state"]["calls"]] == [state]


def test_a_change_without_call_data_has_the_state_from_before() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("HELD"))
    assert board.take("OnCallModified", "1", addedLegs=[]).call_state == "held"


def test_two_users_see_one_call_each_in_his_own_way() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("DIALING"))
    board.take("OnCallCreated", "1", login="oxe1002", **data("RINGING_INCOMING"))
    assert board.states() == {f"{LOGIN}|1": "dialing", "oxe1002|1": "ringing"}


def test_a_new_reference_closes_the_old_one_and_keeps_what_is_known() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"), participants=[{"participantId": "p"}])
    board.take("OnCallModified", "2", previousCallRef="1", **data("HELD"))
    assert board.removals == [("1", "replaced")]
    assert board.events[0].data.replaced_by_call_ref == "2"
    assert board.events[0].data.synthetic
    assert list(board.topic) == [f"{LOGIN}|2"]
    assert board.topic[f"{LOGIN}|2"]["participants"] == [{"participant_id": "p"}]


def test_a_new_reference_is_news_of_the_call_like_any_other() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"))
    board.begin(LOGIN)
    board.take("OnCallModified", "2", previousCallRef="1", **data("HELD"))
    board.snapshot()
    assert board.removals == [("1", "replaced")]
    assert board.states() == {f"{LOGIN}|2": "held"}


def test_calls_that_vanished_while_we_were_away_are_removed_and_those_there_replaced() -> None:
    board = Board()
    for ref in "12":
        board.take("OnCallCreated", ref, **data("DIALING"))
    board.begin(LOGIN)
    board.snapshot(call("2", "HELD"), call("3", "ACTIVE"))
    assert board.removals == [("1", "absent_from_snapshot")]
    assert board.events[0].phase == "snapshot"
    assert board.states() == {f"{LOGIN}|2": "held", f"{LOGIN}|3": "active"}


def test_after_a_restart_too() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("DIALING"))
    board.take("OnCallCreated", "2", **data("DIALING"))
    after = Board(board.kept)
    after.topic = board.topic
    after.begin(LOGIN)
    after.take("OnCallModified", "2", addedLegs=[leg("a", "ACTIVE")])
    assert after.topic == board.topic, "a change on top of nothing is no state"
    after.snapshot(call("2", "ACTIVE", legs=[leg("a", "IDLE")]))
    assert after.states() == {f"{LOGIN}|2": "active"}
    assert after.topic[f"{LOGIN}|2"]["legs"] == [{"device_id": "a", "state": "ACTIVE"}]


def test_a_call_that_began_while_the_snapshot_was_on_its_way_stays() -> None:
    board = Board()
    board.begin(LOGIN)
    board.take("OnCallCreated", "1", **data("DIALING"))
    board.snapshot()
    assert board.states() == {f"{LOGIN}|1": "dialing"}
    assert board.removals == []


def test_a_snapshot_taken_before_a_removal_brings_nothing_back() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"))
    board.begin(LOGIN)
    board.take("OnCallRemoved", "1")
    board.snapshot(call("1", "ACTIVE"))
    assert board.topic == {}
    board.take("OnCallCreated", "1", **data("DIALING"))
    assert board.states() == {f"{LOGIN}|1": "dialing"}, "references may come again"


def test_a_reference_that_came_again_is_in_the_snapshot() -> None:
    board = Board()
    board.begin(LOGIN)
    board.take("OnCallModified", "1", **data("ACTIVE"))
    board.take("OnCallRemoved", "1")
    board.take("OnCallModified", "1", addedLegs=[leg("a", "ACTIVE")])
    assert board.topic == {}, "a change on top of nothing is no state"
    board.snapshot(call("1", "HELD"))
    assert board.states() == {f"{LOGIN}|1": "held"}


def test_a_snapshot_taken_before_changes_takes_them_again() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("DIALING"))
    board.begin(LOGIN)
    board.take("OnCallModified", "1", **data("ACTIVE"))
    board.snapshot(call("1", "RINGING_OUTGOING"))
    assert board.states() == {f"{LOGIN}|1": "active"}


def test_a_snapshot_takes_no_changes_again_of_a_channel_before() -> None:
    board = Board()
    board.begin(LOGIN)
    board.take("OnCallModified", "1", **data("HELD"))
    board.begin(LOGIN)
    board.snapshot(call("1", "ACTIVE"))
    assert board.states() == {f"{LOGIN}|1": "active"}


def test_a_snapshot_of_one_user_says_nothing_of_another() -> None:
    board = Board()
    board.take("OnCallCreated", "1", login="oxe1002", **data("ACTIVE"))
    board.begin(LOGIN, "oxe1002")
    board.snapshot()
    assert board.states() == {"oxe1002|1": "active"}


def test_a_snapshot_without_a_list_of_calls_removes_nothing() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"))
    board.begin(LOGIN)
    board.take("OnTelephonyState", state={"userState": "FREE"})
    assert board.states() == {f"{LOGIN}|1": "active"}


def test_changes_and_removals_of_calls_never_seen_are_survived() -> None:
    board = Board()
    board.take("OnCallModified", "1", modifiedLegs=[leg("a", "ACTIVE")])
    assert board.states() == {f"{LOGIN}|1": "unknown"}
    board.take("OnCallRemoved", "1")
    board.take("OnCallRemoved", "2")
    assert board.topic == board.kept == {}


def test_the_calls_of_a_user_who_is_gone_are_removed() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"))
    items: list[Event | State] = []
    changes: dict[str, bytes | None] = {}
    board.calls.forget([LOGIN, "nobody"], NOW, items, changes)
    board.publish(items, changes)
    assert board.removals == [("1", "user_gone")]
    assert board.topic == board.kept == {}


def test_what_was_known_of_users_nobody_monitors_any_more_ends_with_the_snapshot() -> None:
    board = Board()
    board.take("OnCallCreated", "1", **data("ACTIVE"))
    board.begin("oxe1002")
    items: list[Event | State] = []
    changes: dict[str, bytes | None] = {}
    board.calls.forget_unheard(frozenset({"oxe1002"}), NOW, items, changes)
    board.publish(items, changes)
    assert board.removals == [("1", "user_gone")]
