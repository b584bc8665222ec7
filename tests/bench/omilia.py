"""Measure what Omilia pushes over keep-alive TLS, from the push to Kafka's acknowledgement."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.bench.measures import AS_FAST_AS_IT_GOES, CALM, STEADY, Plan
from tests.bench.processes import Child
from tests.bench.pusher import BATCH
from tests.bench.vendors import Moment, VendorDaemon, open_vendor_daemon

PART, MILLION = "omilia", 1_000_000
_CONNECTIONS = 16
_SETTLE_SECONDS = 1.0


class Pushed:
    """A daemon that is pushed to."""

    def __init__(self, daemon: VendorDaemon, pusher: Child) -> None:
        self.daemon, self.pusher = daemon, pusher

    def run(self, rate: float, seconds: float) -> tuple[Moment, Moment, dict[str, float]]:
        """Push at a rate; give the first and last moment of some seconds of it, and the answers' times."""
        self.pusher.ask(rate=rate)
        time.sleep(_SETTLE_SECONDS)
        self.daemon.mark()
        self.pusher.ask()
        before = self.daemon.look()
        time.sleep(seconds)
        after, answers = self.daemon.look(), self.pusher.ask()["answers"]
        self.daemon.show_profile(after.records - before.records)
        self.drain()
        return before, after, answers

    def drain(self) -> int:
        """Return when all that was accepted is on Kafka; give how much that is."""
        self.pusher.ask(rate=0)
        accepted = -1
        while accepted != (accepted := self.pusher.ask()["accepted"]):
            time.sleep(0.5)
        self.daemon.wait_until_published(accepted)
        return accepted


def measure_omilia(plan: Plan) -> None:
    """Measure costs, the answers' delay, and the most that is taken."""
    with _open(plan) as pushed:
        report = plan.report
        report.add(PART, "idle RSS", pushed.daemon.resident_mib(), "MiB", most=200)
        _, _, answers = pushed.run(CALM, plan.seconds)
        for quantile in ("p50", "p99"):
            most = 100 if quantile == "p99" else None
            report.add(PART, f"answer, {quantile} at {CALM:,.0f}/s", answers[quantile], "ms", most=most)
        _measure(plan, pushed, STEADY, f"at {STEADY:,.0f}/s")
        _measure(plan, pushed, AS_FAST_AS_IT_GOES, "flat out")
        report.add(PART, "RSS, the most", pushed.daemon.peak_mib(), "MiB", most=200)
        report.add(PART, "refused", pushed.pusher.ask()["failed"], "records", most=0)


def measure_million(plan: Plan) -> None:
    """Measure memory when as many ids are remembered as ever are."""
    with _open(plan) as pushed:
        pushed.pusher.ask(rate=AS_FAST_AS_IT_GOES)
        begun = time.monotonic()
        pushed.daemon.wait(
            "a million records are taken in",
            lambda: pushed.pusher.ask()["accepted"] > MILLION + 10 * BATCH,
            seconds=300,
            every=0.5,
        )
        plan.report.add(PART, "a million records in", time.monotonic() - begun, "s")
        pushed.drain()
        plan.report.add(PART, "RSS behind a million", pushed.daemon.resident_mib(), "MiB", most=200)
        plan.report.add(PART, "RSS of it, the most", pushed.daemon.peak_mib(), "MiB", most=200)


def _measure(plan: Plan, pushed: Pushed, rate: float, name: str) -> None:
    before, after, answers = pushed.run(rate, plan.seconds)
    records, spent = after.records - before.records, after.used.since(before.used)
    report = plan.report
    if rate < 0:
        report.add(PART, name, records / (after.at - before.at), "records/s")
    report.add(PART, f"CPU {name}", spent.total / records * 1e6, "µs/record", most=30)
    report.add(PART, f"of it system {name}", spent.system / records * 1e6, "µs/record")
    report.add(PART, f"answer, p99 {name}", answers["p99"], "ms")


@contextmanager
def _open(plan: Plan) -> Iterator[Pushed]:
    plan.report.say("starting streamd, omilia")
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as directory:
        home = Path(directory)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(home / "ca.pem")
        issued.private_key_pem.write_to_path(home / "key.pem")
        issued.cert_chain_pems[0].write_to_path(home / "certificate.pem")
        tls = f'{{ certificate_file = "{home}/certificate.pem", key_file = "{home}/key.pem" }}'
        with open_vendor_daemon(
            plan.cluster, "omilia", "omilia.dialogs", {"ingress": {"tls": tls}}, profiled=plan.profile
        ) as daemon:
            port = daemon.platform.hello["port"]
            with Child("pusher", port, home / "ca.pem", _CONNECTIONS) as pusher:
                yield Pushed(daemon, pusher)
