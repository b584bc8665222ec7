"""The admin endpoint as probes, Prometheus, people and the command line meet it: over real sockets."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from streamd.admin.endpoint import serve_admin
from streamd.admin.rates import Sampler
from streamd.admin.report import report
from streamd.admin.scrape import Scrape
from streamd.errors import Rejected, Transient
from streamd.spool.spool import Spool
from tests.core import Core, open_core

TOKEN = "correct horse"


def browser(core: Core) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=core.url, trust_env=False)


def operator(core: Core) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(core.home / "control.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://streamd")


async def refuse(*_: object) -> None:
    raise Rejected("wrong password")


async def metrics(client: httpx.AsyncClient) -> dict[str, float]:
    """Give name{connector,…} -> value."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        f"{sample.name}{sorted(sample.labels.values()) or ''}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_probes_are_well_without_kafka_and_with_a_vendor_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        await core.lamps["paris"].obey(refuse)
        await core.reach("paris", "refused")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_a_full_disk_and_a_stop_make_it_unready_with_the_reason_but_not_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch) as core, browser(core) as client:
        monkeypatch.setattr(Spool, "disk_full", True)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the spool accepts nothing: the disk is full\n")
        assert (await client.get("/healthz")).status_code == 200


async def test_status_tells_a_connector_in_the_words_of_its_progress_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        await core.switch("paris", 7)
        await core.lamps["rome"].obey(refuse)
        await core.reach("rome", "refused")
        async with browser(core) as client:
            status = (await client.get("/status")).json()
    paris, rome = status["connectors"]["paris"], status["connectors"]["rome"]
    assert (paris["state"], paris["reason"], paris["vendor"]) == ("live", None, "lamp")
    assert (rome["state"], rome["reason"], rome["open_gaps"]) == ("refused", "wrong password", 1)
    assert rome["sessions"]["lamp"]["state"] == "refused"
    assert {gap["data"]["cause"] for gap in rome["gaps"]} == {"new_spool", "refused"}
    assert all("from" in gap["data"] for gap in rome["gaps"])
    assert paris["last"]["switches"] == {"epoch": status["spool"]["epoch"], "sequence": f"{7:020d}"}
    assert paris["spool"]["events"] >= 7
    assert paris["spool"]["share"] == status["spool"]["max_bytes"] // 2
    assert paris.keys() >= {"complete_through", "lag_seconds", "rates"}
    assert status["kafka"]["connected"] is False
    assert status["spool"]["disk_full"] is False
    assert status.keys() >= {"version", "started"}


async def test_what_waits_of_a_connector_that_runs_no_more_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        await core.switch("rome", 7)
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        status = (await client.get("/status")).json()
        page = (await client.get("/")).text
    assert status["connectors"].keys() == {"paris"}
    assert status["spool"]["left"].keys() == {"rome"}
    assert status["spool"]["left"]["rome"] >= 7
    waiting = status["connectors"]["paris"]["spool"]["events"] + status["spool"]["left"]["rome"]
    assert status["spool"]["events"] == waiting
    assert "of rome, which runs no more" in page


async def test_rates_count_what_was_accepted_within_the_last_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        with trio.fail_after(30):
            while True:
                await core.switch("paris", 20)
                rates = (await client.get("/status")).json()["connectors"]["paris"]["rates"]
                if rates["events_per_second"] > 40:
                    break
                await trio.sleep(0.2)
    assert rates["published_per_second"] == 0


async def test_metrics_are_brought_up_to_date_by_each_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        before = await metrics(client)
        await core.switch("paris", 500)
        after = await metrics(client)
        accepted = "streamd_events_accepted_total['paris']"
        assert 500 <= after[accepted] - before[accepted] < 510  # it has progress events of its own
        assert after["streamd_connector_state['live', 'paris']"] == 1
        assert after["streamd_spool_rows['paris']"] > before["streamd_spool_rows['paris']"] > 0
        assert after["streamd_spool_bytes['paris']"] > before["streamd_spool_bytes['paris']"]
        assert after["streamd_kafka_connected"] == 0
        assert after["streamd_spool_disk_full"] == 0
        assert after["streamd_process_resident_memory_bytes"] > 0


async def test_events_go_on_while_the_page_of_metrics_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_core(tmp_path, monkeypatch) as core, trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        await Scrape(core.daemon).render(report(core.daemon, Sampler()), {})
        nursery.cancel_scope.cancel()
    assert turns >= 15, "one for each metric"


async def test_a_connector_that_is_configured_no_more_leaves_the_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core,
        browser(core) as client,
    ):
        assert any("rome" in name for name in await metrics(client))
        core.configure("paris")
        assert await core.daemon.reload()
        names = await metrics(client)
        assert not any("rome" in name for name in names)
        assert any("paris" in name for name in names)


async def test_only_what_is_there_is_answered_and_only_to_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        assert (await client.get("/nonsense")).status_code == 404
        assert (await client.post("/status")).status_code == 405
        assert (await client.post("/restart", params={"name": "paris"})).status_code == 404
        head = await client.head("/status")
        assert (head.status_code, head.content) == (200, b"")


async def test_beyond_loopback_the_page_and_the_status_need_the_token_and_probes_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = f'token = "{TOKEN}"'
    async with open_core(tmp_path, monkeypatch, host="0.0.0.0", admin=admin) as core, browser(core) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
        for path in ("/", "/status"):
            bare = await client.get(path)
            assert bare.status_code == 401
            assert bare.headers["www-authenticate"].startswith("Basic ")
            assert "connectors" not in bare.text
            wrong = await client.get(path, headers={"authorization": f"Bearer {TOKEN}!"})
            assert wrong.status_code == 401
            program = await client.get(path, headers={"authorization": f"Bearer {TOKEN}"})
            assert program.status_code == 200
            person = await client.get(path, auth=("whoever", TOKEN))
            assert person.status_code == 200


async def test_the_page_holds_all_it_needs_and_escapes_what_vendors_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def attack(*_: object) -> None:
        raise Rejected("<script>alert(1)</script>")

    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, browser(core) as client:
        await core.lamps["paris"].obey(attack)
        await core.reach("paris", "refused")
        answer = await client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


async def test_the_control_socket_is_its_users_alone_replaces_a_stale_one_and_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home / "control.sock"))
    async with open_core(tmp_path, monkeypatch) as core:
        assert (core.home / "control.sock").stat().st_mode & 0o777 == 0o600
        async with operator(core) as client:
            assert (await client.get("/status")).status_code == 200
    assert not (home / "control.sock").exists()


async def test_a_state_directory_with_a_long_path_has_a_control_socket_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    async with open_core(deep, monkeypatch) as core:
        assert (core.home / "control.sock").is_socket()
    assert not (core.home / "control.sock").exists()


async def test_a_restart_starts_a_refused_connector_again_and_says_which_names_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        await core.lamps["rome"].obey(refuse)
        await core.reach("rome", "refused")
        async with operator(core) as client:
            unknown = await client.post("/restart", params={"name": "roma"})
            assert unknown.status_code == 404
            assert unknown.text.endswith("there is: paris, rome\n")
            answer = await client.post("/restart", params={"name": "rome"})
            assert answer.status_code == 200
        await core.reach("rome", "live")


async def test_restarts_at_the_same_time_follow_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: list[int] = []

    async def restart(client: httpx.AsyncClient) -> None:
        statuses.append((await client.post("/restart", params={"name": "paris"})).status_code)

    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, operator(core) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(restart, client)
        await core.reach("paris", "live")
    assert statuses.count(200) >= 1
    assert set(statuses) <= {200, 404}  # 404: asked for in the moment when it is down


async def test_an_address_in_use_ends_the_start_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch) as core:
        daemon: Any = core.daemon
        with pytest.raises(Transient, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
            await serve_admin(daemon)
