"""The use cases of the vendor's guide (seed 004, chapters 8 and 9), event by event, on topics and states."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.simulators.o2g import O2gOptions

CALLER, CALLEE, THIRD = "oxe1001", "oxe1002", "oxe1003"


def told(running: Any, login: str) -> list[tuple[str, str, str]]:
    """Give what was published of one user's telephony: type, canonical state, callRef."""
    return [
        (
            event["type"].removeprefix("streamd."),
            event["data"].get("call_state") or event["data"].get("state"),
            event["data"].get("call_ref", ""),
        )
        for event in running.events()
        if event["source"].endswith("/telephony")
        and event["phase"] == "live"
        and event["data"]["login_name"] == login
    ]


def states(running: Any) -> dict[str, str]:
    return {key: call["call_state"] for key, call in running.state_topic("calls.state").items()}


async def test_chapter_8_a_basic_call(system: Any) -> None:
    async with system(O2gOptions(users=3, agents=0)) as (simulator, running):
        await running.until_state("live")
        ref = simulator.place_call(CALLER, CALLEE)
        await running.until(lambda: len(told(running, CALLER)) == 3)
        assert states(running) == {f"{CALLER}|{ref}": "ringing_out", f"{CALLEE}|{ref}": "ringing"}
        simulator.answer(ref)
        await running.until(lambda: len(told(running, CALLER)) == 4)
        assert states(running) == {f"{CALLER}|{ref}": "active", f"{CALLEE}|{ref}": "active"}
        simulator.release(ref, CALLER)
        await running.until(lambda: len(told(running, CALLEE)) == 6)
        assert told(running, CALLER) == [
            ("call.created", "dialing", ref),
            ("user.state_changed", "BUSY", ""),
            ("call.modified", "ringing_out", ref),
            ("call.modified", "active", ref),
            ("call.removed", "removed", ref),
            ("user.state_changed", "FREE", ""),
        ]
        assert told(running, CALLEE) == [
            ("call.created", "ringing", ref),
            ("call.modified", "active", ref),
            ("user.state_changed", "BUSY", ""),
            ("call.modified", "releasing", ref),
            ("call.removed", "removed", ref),
            ("user.state_changed", "FREE", ""),
        ]
        assert states(running) == {}
        created = running.events("call.created")[0]
        assert created["subject"] == ref
        assert created["source"] == "/o2g/o2g-test/telephony"
        key = next(record.key for topic, record in running.records() if topic.endswith(".o2g.telephony"))
        assert key.startswith(b"o2g-test|oxe")


@pytest.mark.parametrize("new_reference", [False, True])
async def test_chapter_9_an_unsupervised_transfer(system: Any, new_reference: bool) -> None:
    faults = frozenset(("transfer-new-callref",) if new_reference else ())
    async with system(O2gOptions(users=3, agents=0, faults=faults)) as (simulator, running):
        await running.until_state("live")
        ref = simulator.place_call(CALLER, CALLEE)
        simulator.answer(ref)
        await running.until(lambda: len(told(running, CALLEE)) == 3)
        before = len(told(running, CALLER)), len(told(running, CALLEE))
        after = simulator.transfer(ref, CALLER, THIRD)
        assert (after != ref) == new_reference
        await running.until(lambda: told(running, CALLER)[-1][1] == "FREE")
        assert ("call.modified", "held", ref) in told(running, CALLEE)[before[1] :]
        assert ("call.removed", "removed", ref) in told(running, CALLER)[before[0] :]
        assert states(running) == {f"{CALLEE}|{after}": "ringing_out", f"{THIRD}|{after}": "ringing"}
        synthetic = [
            event["data"] for event in running.events("call.removed") if "synthetic" in event["data"]
        ]
        closed = [(each["login_name"], each["call_ref"], each["reason"]) for each in synthetic]
        assert closed == ([(CALLEE, ref, "replaced")] if new_reference else [])
        simulator.answer(after)
        await running.until(lambda: states(running).get(f"{THIRD}|{after}") == "active")
        await running.until(lambda: states(running).get(f"{CALLEE}|{after}") == "active")
        simulator.release(after, THIRD)
        await running.until(lambda: states(running) == {})


async def test_an_agents_day_is_told_in_o2gs_words_and_in_ours(system: Any) -> None:
    async with system(O2gOptions(users=1, agents=1)) as (simulator, running):
        await running.until_state("live")
        for word, reason in (
            ("READY", None),
            ("BUSY", None),
            ("WRAPUP", None),
            ("PAUSE", None),
            ("WITHDRAW", 2),
        ):
            simulator.set_agent("oxe2001", word, reason)
        simulator.set_agent("oxe2001", "LOG_OFF")
        await running.until(
            lambda: (
                running.state_topic("agents.state")["oxe2001"]["agent_state"] == "logged_off"
                and len(running.events("agent.state_changed")) > 5
            )
        )
        told = [event["data"] for event in running.events("agent.state_changed") if event["phase"] == "live"]
        words = [(each["agent_state"], each["state"].get("sub_state")) for each in told]
        expected = [
            ("ready", "READY"),
            ("busy", "BUSY"),
            ("wrap_up", "WRAPUP"),
            ("paused", "PAUSE"),
            ("withdrawn", "WITHDRAW"),
        ]
        assert [each for each in words if each in expected] == expected
        assert words[-1][0] == "logged_off"
