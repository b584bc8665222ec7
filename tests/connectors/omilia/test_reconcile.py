"""The platform's subscriptions are made as configured, whatever is there (vendors/omilia.md section 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.config import Secret
from streamd.connectors.omilia import subscriptions as module
from streamd.connectors.omilia.account import open_exports
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.delivery import Delivery, deliveries, own_paths, parse_schema_name, token_path
from streamd.connectors.omilia.reconcile import Decision, Listed, decide
from streamd.connectors.omilia.rest import Exports
from streamd.connectors.omilia.subscriptions import Subscriptions
from streamd.errors import RateLimited, Rejected, Transient
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from tests.connectors.omilia.managing import PlatformClock, config_for, open_context
from tests.running import Running

OURS = "https://in.example.net/omilia/acme_prod/"
WANTED = Delivery("dialog_end", f"{OURS}dialog_end", "https://in.example.net/t", "id", Secret("s"), None, {})


def listed(
    name: str = "", path: str = WANTED.path, identifier: str = "1", kind: str = "dialog_end"
) -> Listed:
    return Listed(identifier, kind, name or WANTED.schema_name(3), path.split(":")[0], path)


def decision(*there: Listed, own_ids: tuple[str, ...] = (), takeover: bool = False) -> Decision:
    found = decide({"dialog_end": WANTED}, there, own_paths=OURS, own_ids=own_ids, takeover=takeover)
    return found[-1]


def test_what_is_as_configured_is_kept_whatever_its_generation() -> None:
    assert decision(listed()).step == "keep"
    assert decision(listed(WANTED.schema_name(99))).step == "keep"


def test_what_is_missing_is_created() -> None:
    assert decision().step == "create"
    assert decision(listed(kind="dialog_start", path="https://elsewhere.example/in")).step == "create"


@pytest.mark.parametrize(
    "there",
    [
        listed("my_ocp_dialog_end"),
        listed("streamd_dialog_end_g3_0123456789"),
        listed(path=f"{OURS}dialog_endd"),
        listed(path=WANTED.path.replace("https", "http"), identifier="known"),
    ],
)
def test_ours_that_differs_in_any_setting_is_replaced(there: Listed) -> None:
    found = decision(there, own_ids=("known",))
    assert (found.step, found.delete) == ("replace", (there.id,))


@pytest.mark.parametrize(
    "change",
    [
        {"token_path": "https://in.example.net/u"},
        {"auth_id": "other"},
        {"auth_secret": Secret("t")},
        {"auth_scope": "omilia.push"},
        {"custom_headers": {"x-a": "b"}},
    ],
)
def test_drift_of_what_the_list_does_not_echo_is_seen_through_the_name(change: dict[str, Any]) -> None:
    settings = {name: getattr(WANTED, name) for name in Delivery.__struct_fields__}
    before = Delivery(**{**settings, **change})
    assert decision(listed(before.schema_name(3))).step == "replace"


def test_a_foreign_subscription_is_left_alone_unless_it_may_be_taken_over() -> None:
    foreign = listed("my_ocp_dialog_end", "https://elsewhere.example/in")
    found = decision(foreign)
    assert (found.step, found.state, found.delete) == ("leave", "blocked_foreign", ())
    assert decision(foreign, takeover=True).delete == ("1",)


def test_the_subscription_of_another_streamd_is_foreign_though_its_name_looks_like_ours() -> None:
    other = listed(path="https://staging.example.net/omilia/acme_prod/dialog_end")
    assert decision(other).state == "blocked_foreign"
    assert decision(other, own_ids=("1",)).step == "replace"


def test_several_of_one_type_are_reported_and_nothing_is_deleted() -> None:
    odd = listed("x", identifier="2")
    assert (decision(listed("y"), odd).step, decision(listed("y"), odd).state) == ("leave", "several")
    found = decision(odd, listed())
    assert (found.step, found.state, found.delete) == ("keep", "several", ())


def test_what_is_ours_and_no_longer_configured_is_removed_and_nothing_else() -> None:
    ours = listed("x", f"{OURS}dialog_step", "2", "dialog_step")
    foreign = listed("x", "https://elsewhere.example/in", "3", "vb_enrolment")
    found = decide(
        {"dialog_end": WANTED}, [ours, foreign, listed()], own_paths=OURS, own_ids=(), takeover=True
    )
    assert [(each.step, each.delete) for each in found] == [("keep", ()), ("remove", ("2",))]


def test_what_delivers_deeper_below_is_another_connectors() -> None:
    there = listed(path=f"{OURS}other/dialog_start", kind="dialog_start")
    found = decide({"dialog_end": WANTED}, [there], own_paths=OURS, own_ids=(), takeover=False)
    assert [each.step for each in found] == ["create"]


def test_audit_has_one_slot_however_it_is_spelt() -> None:
    audit = Delivery("audit", f"{OURS}audit", "https://in.example.net/t", "id", Secret("s"), None, {})
    there = listed(audit.schema_name(1), audit.path, kind="audit_events")
    assert decide({"audit": audit}, [there], own_paths=OURS, own_ids=(), takeover=False)[0].step == "keep"


# -- against the platform


class Bench:
    """The subscriptions of a connector whose callbacks nobody calls."""

    def __init__(
        self, simulator: OmiliaSimulator, running: Running, exports: Exports, subscriptions: Subscriptions
    ) -> None:
        self.simulator = simulator
        self.exports = exports
        self.running = running
        self.subscriptions = subscriptions

    async def ensure_all(self) -> None:
        for kind in ("dialog_start", "dialog_step", "dialog_end"):
            await self.subscriptions.ensure(kind)

    def calls(self, method: str) -> int:
        return sum(
            each.method == method and "/subscriptions" in each.path for each in self.simulator.requests
        )

    @property
    def states(self) -> dict[str, str]:
        return {each.name: each.state for each in self.running.runtime.status.subscriptions}

    @property
    def there(self) -> dict[str, str]:
        return {each.data_type: each.schema_name for each in self.simulator.subscriptions}


def url(path: str) -> str:
    return f"http://127.0.0.1:9{path}"


@asynccontextmanager
async def open_subscriptions(
    directory: Path, simulator: OmiliaSimulator, config: OmiliaConfig
) -> AsyncIterator[Bench]:
    async with (
        open_context(directory, config, PlatformClock(simulator)) as running,
        open_exports(running.runtime) as exports,
    ):

        async def wanted() -> Mapping[str, Delivery]:
            return deliveries(config, url, url(token_path(config)))

        yield Bench(
            simulator,
            running,
            exports,
            Subscriptions(running.runtime, exports, wanted, own_paths(config, url)),
        )


@asynccontextmanager
async def bench(directory: Path, *faults: str, **changes: Any) -> AsyncIterator[Bench]:
    async with open_omilia_simulator(OmiliaOptions(faults=frozenset(faults))) as simulator:
        config = config_for(simulator, **changes)
        async with open_subscriptions(directory, simulator, config) as opened:
            yield opened


async def test_all_types_are_created_once_and_then_only_looked_at(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.ensure_all()
        first = it.there
        await it.ensure_all()
        assert await it.subscriptions.look("dialog_step")
        assert it.there == first
        assert it.calls("POST") == 3
        assert it.calls("DELETE") == 0
        assert set(it.states.values()) == {"active"}
        delivery = it.simulator.subscriptions[0].delivery
        assert delivery.path == url("/omilia/acme_prod/dialog_start")
        assert delivery.custom_headers == {"x-streamd-generation": "g1"}


async def test_what_was_missed_and_is_there_again_delivers_since_it_was_found(tmp_path: Path) -> None:
    async with bench(tmp_path, "create-500=1") as it:
        real, lists = it.exports.subscriptions, 0

        async def broken_after_the_create() -> list[Listed]:
            nonlocal lists
            lists += 1
            if lists == 2:
                raise Transient("no list")
            return await real()

        it.exports.subscriptions = broken_after_the_create  # type: ignore[method-assign]
        with pytest.raises(Transient, match="no list"):
            await it.subscriptions.ensure("dialog_end")
        before = it.simulator.now()
        created_at = (await it.subscriptions.ensure("dialog_end")).created_at
        assert created_at is not None
        assert created_at >= before
        assert (await it.subscriptions.ensure("dialog_end")).created_at is None


async def test_what_was_created_now_says_when_and_what_was_there_does_not(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        made = await it.subscriptions.ensure("dialog_end")
        assert made.created_at is not None
        kept = await it.subscriptions.ensure("dialog_end")
        assert (kept.created_at, kept.schema_name) == (None, made.schema_name)


async def test_a_restart_keeps_what_is_there(tmp_path: Path) -> None:
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        for _ in range(2):
            async with open_subscriptions(tmp_path, simulator, config_for(simulator)) as it:
                await it.ensure_all()
                await it.subscriptions.close()
        assert it.calls("POST") == 3
        assert it.calls("DELETE") == 0


async def test_a_rotated_secret_replaces_each_subscription_with_the_next_generation(tmp_path: Path) -> None:
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        async with open_subscriptions(tmp_path, simulator, config_for(simulator)) as it:
            await it.ensure_all()
        new = config_for(simulator, auth_secret=Secret("the next one"))
        async with open_subscriptions(tmp_path, simulator, new) as it:
            assert not await it.subscriptions.look("dialog_end")
            await it.ensure_all()
            names = [parse_schema_name(name) for name in it.there.values()]
            assert [name.generation for name in names if name is not None] == [2, 2, 2]
            assert it.calls("DELETE") == 3
            assert {each.delivery.auth_secret for each in simulator.subscriptions} == {"the next one"}


async def test_a_subscription_that_the_platform_dropped_is_noticed_and_made_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.ensure_all()
        assert await it.subscriptions.look("dialog_step")
        it.simulator.vanish("dialog_step")
        await trio.sleep(module.SHARED_SECONDS + 0.05)
        assert not await it.subscriptions.look("dialog_step")
        assert await it.subscriptions.look("dialog_end")
        assert it.states == {"dialog_start": "active", "dialog_step": "missing", "dialog_end": "active"}
        await it.subscriptions.ensure("dialog_step")
        name = parse_schema_name(it.there["dialog_step"])
        assert name is not None
        assert name.generation == 2


async def test_sessions_that_look_together_share_one_list(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.ensure_all()
        before = it.calls("GET")
        async with trio.open_nursery() as nursery:
            for kind in ("dialog_start", "dialog_step", "dialog_end"):
                nursery.start_soon(it.subscriptions.look, kind)
        assert it.calls("GET") - before == 1


@pytest.mark.parametrize("fault", ["create-500=1", "create-reset=1"])
async def test_a_create_of_unknown_outcome_is_looked_up_and_never_sent_twice(
    tmp_path: Path, fault: str
) -> None:
    async with bench(tmp_path, fault) as it:
        await it.ensure_all()
        assert it.calls("POST") == 3
        assert len(it.simulator.subscriptions) == 3
        assert set(it.states.values()) == {"active"}


async def test_a_create_that_failed_is_told_and_the_next_try_lists_first(tmp_path: Path) -> None:
    async with bench(tmp_path, "error-500:create=1") as it:
        with pytest.raises(Transient):
            await it.subscriptions.ensure("dialog_end")
        await it.subscriptions.ensure("dialog_end")
        methods = [each.method for each in it.simulator.requests if "/groups/" in each.path]
        assert methods == ["GET", "POST", "GET", "POST"]
        assert len(it.simulator.subscriptions) == 1


@pytest.mark.parametrize("conflict", ["conflict-409", "conflict-400"])
async def test_a_slot_that_is_held_after_a_delete_is_waited_for(tmp_path: Path, conflict: str) -> None:
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        async with open_subscriptions(tmp_path, simulator, config_for(simulator)) as it:
            await it.subscriptions.ensure("dialog_end")
        simulator.set_faults("slot-held=60", conflict)
        new = config_for(simulator, auth_scope="omilia.push")
        async with open_subscriptions(tmp_path, simulator, new) as it:
            for _ in range(3):
                with pytest.raises(Transient, match="not free yet"):
                    await it.subscriptions.ensure("dialog_end")
            assert it.states["dialog_end"] == "conflict"
            simulator.advance(61)
            await it.subscriptions.ensure("dialog_end")
            assert it.states["dialog_end"] == "active"


async def test_a_slot_that_someone_unseen_holds_is_reported_after_five_minutes(tmp_path: Path) -> None:
    async with bench(tmp_path, "foreign-hidden:dialog_end") as it:
        with pytest.raises(Transient):
            await it.subscriptions.ensure("dialog_end")
        it.simulator.advance(module.CONFLICT_SECONDS + 1)
        for _ in range(2):
            with pytest.raises(Rejected, match="blocked_foreign"):
                await it.subscriptions.ensure("dialog_end")
        assert it.states["dialog_end"] == "blocked_foreign"
        await it.subscriptions.ensure("dialog_step")


async def test_a_foreign_subscription_is_blocked_and_not_touched(tmp_path: Path) -> None:
    async with bench(tmp_path, "foreign:dialog_end") as it:
        with pytest.raises(Rejected, match="blocked_foreign"):
            await it.subscriptions.ensure("dialog_end")
        await it.subscriptions.ensure("dialog_step")
        assert it.states["dialog_end"] == "blocked_foreign"
        assert it.there["dialog_end"] == "other_dialog_end"
        assert it.calls("DELETE") == 0


async def test_a_foreign_subscription_is_taken_over_where_that_is_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path, "foreign:dialog_end", takeover=True) as it:
        await it.subscriptions.ensure("dialog_end")
        assert it.there["dialog_end"].startswith("streamd_dialog_end_g1_")


@pytest.mark.parametrize("gone", ["delete-gone-404", "delete-gone-200"])
async def test_deleting_what_is_gone_already_is_done(tmp_path: Path, gone: str) -> None:
    async with bench(tmp_path, gone) as it, open_exports(it.running.runtime) as exports:
        await exports.unsubscribe("2b177cb4-5229-4c90-8640-e0b9bfdc22aa")


async def test_a_list_of_many_pages_is_read_to_its_end(tmp_path: Path) -> None:
    async with bench(tmp_path, "page-cap=1") as it:
        await it.ensure_all()
        await it.ensure_all()
        assert it.calls("POST") == 3


async def test_nothing_is_deleted_at_the_end_unless_that_is_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path, "foreign:dialog_start", delete_on_shutdown=True) as it:
        await it.subscriptions.ensure("dialog_end")
        await it.subscriptions.ensure("dialog_step")
        await it.subscriptions.close()
        assert list(it.there) == ["dialog_start"]


async def test_what_is_no_longer_configured_is_deleted(tmp_path: Path) -> None:
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        async with open_subscriptions(tmp_path, simulator, config_for(simulator)) as it:
            await it.ensure_all()
        fewer = config_for(simulator, data_types=["dialog_end"])
        async with open_subscriptions(tmp_path, simulator, fewer) as it:
            await it.subscriptions.ensure("dialog_end")
            assert list(it.there) == ["dialog_end"]
            assert it.states == {"dialog_end": "active"}


# -- calls


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("forbidden-403:list", Rejected),
        ("failed-402:list", Rejected),
        ("error-500:list", Transient),
        ("unavailable-503:list", Transient),
        ("error-empty:list", Transient),
        ("gateway-html:list", Transient),
        ("limited-429:list", RateLimited),
        ("limited-429-bare:list", RateLimited),
        ("unauthorized-401:list", Rejected),
    ],
)
async def test_each_answer_says_what_to_do_and_nothing_of_a_gateways_page(
    tmp_path: Path, fault: str, error: type[Rejected | Transient]
) -> None:
    async with bench(tmp_path, f"{fault}=inf") as it:
        with pytest.raises(error) as caught:
            await it.subscriptions.ensure("dialog_end")
        assert "html" not in str(caught.value).lower()


async def test_a_refused_token_is_replaced_and_the_call_sent_again_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.subscriptions.ensure("dialog_end")
        it.simulator.expire_tokens()
        await it.subscriptions.ensure("dialog_step")
        assert it.simulator.sessions_opened == 1
        it.simulator.set_faults("unauthorized-401:list=2")
        with pytest.raises(Rejected, match="401"):
            await it.subscriptions.ensure("dialog_step")


async def test_a_personal_token_is_sent_as_bearer_and_its_refusal_is_one_of_credentials(
    tmp_path: Path,
) -> None:
    personal = {"username": None, "password": None, "personal_access_token": Secret("pat-simulated-0001")}
    async with bench(tmp_path, **personal) as it:
        await it.subscriptions.ensure("dialog_end")
        assert it.simulator.sessions_opened == 0
        it.simulator.set_faults("pat-refused")
        before = len(it.simulator.requests)
        with pytest.raises(Rejected):
            await it.subscriptions.ensure("dialog_step")
        assert len(it.simulator.requests) - before == 1


async def test_another_group_is_refused_with_a_hint(tmp_path: Path) -> None:
    async with bench(tmp_path, group="other_group") as it:
        with pytest.raises(Rejected, match="whitelisted"):
            await it.subscriptions.ensure("dialog_end")


async def test_the_session_at_iam_is_logged_out_in_the_end(tmp_path: Path) -> None:
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        async with open_subscriptions(tmp_path, simulator, config_for(simulator)) as it:
            await it.ensure_all()
            assert len(simulator.sessions) == 1
        assert not simulator.sessions


async def test_the_calls_of_a_minute_stay_within_the_configured_pace(tmp_path: Path) -> None:
    async with bench(tmp_path, "bucket=5", requests_per_minute=5) as it:

        def calls() -> int:
            return len([each for each in it.simulator.requests if "/groups/" in each.path])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.ensure_all)
            with trio.fail_after(20):
                while calls() < 5:
                    await trio.sleep(0.01)
            await trio.sleep(0.3)
            assert calls() == 5
            nursery.cancel_scope.cancel()
        assert not it.running.tally["rest_errors"]
