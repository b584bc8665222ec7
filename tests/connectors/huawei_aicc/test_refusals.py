"""What CC-FS refuses: nothing is asked in a loop, nothing is passed over, and it goes on when it is let."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio

from streamd.config import Secret
from streamd.connectors.huawei_aicc.codes import ACTIONS, Action
from streamd.connectors.huawei_aicc.jobs import PREFIX, Job
from streamd.connectors.huawei_aicc.source import probe
from streamd.errors import Rejected, Transient
from streamd.probe import ProbeContext
from streamd.pull.ledger import Ledger
from streamd.simulators.huawei_aicc import HuaweiOptions, open_huawei_simulator
from tests.connectors.huawei_aicc.conftest import config_for

SCALE = {"time_scale": 300.0}
REFUSED = [code for code, action in ACTIONS.items() if action in (Action.PARK, Action.REFUSE)]
FAULTS_OF_SERVER = [code for code, action in ACTIONS.items() if action is Action.RETRY]


@pytest.mark.parametrize("code", REFUSED)
async def test_a_refused_parameter_or_account_is_refused_and_not_asked_again_in_a_loop(
    system: Any, code: str
) -> None:
    async with system(f"query-code:{code}=999", options=SCALE, history=(1.0, 3)) as (simulator, bench):
        await bench.until_state("refused")
        assert code in bench.reason
        asked = len(simulator.requests)
        await trio.sleep(0.3)
        assert len(simulator.requests) == asked
        simulator.set_faults()
        bench.runtime.nudge.give()
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))


@pytest.mark.parametrize("code", FAULTS_OF_SERVER)
async def test_a_fault_of_the_server_is_met_a_few_times_then_told_and_goes_by(system: Any, code: str) -> None:
    async with system(f"query-code:{code}=5", options=SCALE, history=(1.0, 3)) as (simulator, bench):
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert bench.tally["server_faults"] == 5
        assert "lost" in bench.moments()
        assert bench.gaps() == {}


@pytest.mark.parametrize("code", ["0300008", "0300009", "0300012", "0300029"])
async def test_codes_that_ask_for_patience_lose_no_link(system: Any, code: str) -> None:
    fault = "download-code" if code == "0300029" else "query-code"
    async with system(f"{fault}:{code}=1", options=SCALE, history=(1.0, 3)) as (simulator, bench):
        await bench.until(lambda: len(simulator.jobs) > 0 and bench.state == "live")
        await trio.sleep(0.3)
        assert "lost" not in bench.moments()
        assert [entry.code for entry in simulator.requests].count(code) == 1


async def test_an_end_that_is_ahead_of_the_server_is_pulled_back(system: Any) -> None:
    faults, ago = "query-code:0300016=2", timedelta(hours=3)
    async with system(faults, options=SCALE, history=(3.0, 3), start_ago=ago) as (simulator, bench):
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert bench.tally["ends_pulled_back"] == 2
        assert "lost" not in bench.moments()


async def test_a_wrong_time_zone_is_told(system: Any) -> None:
    async with system(request_zone="Pacific/Auckland", history=(1.0, 3)) as (_, bench):
        await bench.until_state("refused")
        assert "Pacific/Auckland" in bench.reason


async def test_a_refused_signature_is_tried_once_more_then_left_alone(system: Any) -> None:
    async with system("unauthorized-401=inf", options=SCALE) as (simulator, bench):
        await bench.until_state("refused")
        assert [entry.status for entry in simulator.requests] == [401, 401]
        await trio.sleep(0.3)
        assert len(simulator.requests) == 2
        bench.runtime.nudge.give()
        await bench.until(lambda: len(simulator.requests) == 3)
        await trio.sleep(0.2)
        assert len(simulator.requests) == 3  # not trusted any more: not asked twice
        simulator.set_faults()
        bench.runtime.nudge.give()
        await bench.until_state("live")


async def test_a_clock_of_ours_that_is_wrong_is_helped_by_the_servers_own(system: Any) -> None:
    ahead = timedelta(hours=2)
    async with system("skew-limit=600", clock_ahead=ahead, options={"time_scale": 1.0}) as (simulator, bench):
        await bench.until_state("live")
        assert [entry.status for entry in simulator.requests] == [401, 200]
        await bench.until(lambda: len(simulator.requests) > 3)
        assert [entry.status for entry in simulator.requests].count(401) == 1


async def test_a_second_try_is_another_one_and_both_clocks_are_told(system: Any) -> None:
    async with system("unauthorized-401=inf", "skew-limit=60", options={"time_scale": 1.0}) as (_, bench):
        await bench.until_state("refused")
        assert "the server's clock is" in bench.reason


async def test_a_wrong_secret_locks_nobody_out(system: Any) -> None:
    async with system(secret_key=Secret("wrong-but-long-enough")) as (simulator, bench):
        await bench.until_state("refused")
        await trio.sleep(0.2)
        assert [entry.status for entry in simulator.requests] == [401, 401]
        assert "wrong-but-long-enough" not in bench.reason


async def test_a_locked_address_is_left_alone(system: Any) -> None:
    async with system("locked-403=inf") as (simulator, bench):
        await bench.until_state("refused")
        await trio.sleep(0.2)
        assert [entry.status for entry in simulator.requests] == [403]


async def test_a_gateways_403_is_no_lock_and_its_retry_after_is_heeded(system: Any) -> None:
    async with system("gateway-403:download=2") as (simulator, bench):
        await bench.until_state("live")
        assert bench.tally["gateway_answers"] == 2
        simulator.set_faults("gateway-429:query=1")
        await bench.until(lambda: bench.state == "lost")
        began = trio.current_time()
        await bench.until_state("live")
        assert trio.current_time() - began > 0.5


async def test_the_start_depends_on_no_code_for_a_file_of_nobody() -> None:
    """Any of them proves that the signature was taken."""
    async with open_huawei_simulator(HuaweiOptions()) as simulator:
        for code in (*REFUSED, *FAULTS_OF_SERVER, "0300008", "0300012", "0300014"):
            simulator.set_faults(f"download-code:{code}=1")
            await probe(ProbeContext("aicc", config_for(simulator)))


@pytest.mark.parametrize("auth", ["strict", "hint"])
async def test_a_callback_that_is_not_ours_changes_nothing(system: Any, auth: str) -> None:
    async with system(options=SCALE, callback_auth=auth, history=(1.0, 5)) as (simulator, bench):
        await bench.until(lambda: bool(simulator.jobs))
        url = f"http://127.0.0.1:{simulator.ingress_port}/huawei_aicc/aicc-test"
        forged = await simulator.forge_callback(url)
        assert (forged == "accepted") is (auth == "hint")
        assert await simulator.unknown_callback(url) == "accepted"
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert max(bench.published().values()) == 1


async def test_a_callback_that_is_too_old_is_refused_and_its_file_is_found_all_the_same(system: Any) -> None:
    async with system("callback-skew=3600", options=SCALE, history=(1.0, 5), callback_wait_seconds=0.2) as (
        simulator,
        bench,
    ):
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert bench.tally["callbacks_expired"] > 0


async def test_a_false_name_in_hint_mode_costs_one_attempt(system: Any) -> None:
    changes = {"callback_auth": "hint", "callback_wait_seconds": 30.0, "job_seconds": 60.0}
    async with system("ready-after=900", options=SCALE, history=(1.0, 5), **changes) as (simulator, bench):
        await bench.until(lambda: bool(simulator.jobs))
        job = simulator.jobs[0]
        url, ledger = job.order.callback_url, Ledger(bench.runtime, PREFIX, Job)
        await bench.until(lambda: (live := ledger.get("live")) and live.stage == "requested")
        false = f"20200101_{job.response_id}.zip"
        assert await simulator.forge_callback(url, job.response_id, false) == "accepted"
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert bench.tally["jobs_again"] == 0


async def test_hints_need_no_signature(system: Any) -> None:
    changes = {"callback_auth": "hint", "callback_wait_seconds": 30.0, "job_seconds": 60.0}
    async with system("callback-skew=3600", options=SCALE, history=(1.0, 5), **changes) as (simulator, bench):
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        assert bench.tally["callbacks_missed"] == 0


async def test_the_probe_tells_who_is_refused_and_what_is_not_there() -> None:
    async with open_huawei_simulator(HuaweiOptions()) as simulator:
        config = config_for(simulator)
        await probe(ProbeContext("aicc", config))
        assert not simulator.jobs
        wrong = config_for(simulator, secret_key=Secret("wrong"))
        with pytest.raises(Rejected):
            await probe(ProbeContext("aicc", wrong))
    with pytest.raises(Transient):
        await probe(ProbeContext("aicc", config))
