"""What each fault of the Avaya simulator must come to: the contract's section 5, as the daemon survives it.

- `kept`: the link holds, whatever the fault does to it.
- `passes`: the link is lost, and live again while the fault is still on.
- `lasts`: the link stays lost, with a reason, until the fault is taken away; then it comes back by itself.
- `refused`: the documented refusal, with a reason; it comes back when an operator asks for it afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamd.connectors.avaya.wire import authentication
from streamd.simulators.avaya import AvayaSimulator
from streamd.transport.http import open_http
from streamd.transport.websocket import open_websocket

QUEUE = "Queue_itd_1.0.0"
PRODUCERS = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
Ending = Literal["kept", "passes", "lasts", "refused"]
Act = Callable[[AvayaSimulator], Awaitable[None]]

# Quick in all that has a deadline, yet long enough for a busy machine.
QUICK: Mapping[str, Any] = {
    "retry_min_seconds": 0.05,
    "retry_max_seconds": 0.3,
    "snapshot_quiet_seconds": 0.6,
    "snapshot_settle_seconds": 0.4,
    "snapshot_proof_seconds": 1.2,
    "requests_per_second": 100.0,
}
PINGS: Mapping[str, Any] = {"ping_interval_seconds": 0.3, "pong_timeout_seconds": 1.5}


@dataclass(frozen=True)
class Case:
    """One fault with what it takes to strike: switches, something that happens, keys of the connector.

    `hold`: how many seconds it goes on once live. `fresh`: the state is right again only with a snapshot
    after the fault. `cure`: keys that the operator must correct. `by`: how the operator asks.
    """

    ending: Ending
    faults: tuple[str, ...]
    word: str = ""
    act: Act | None = None
    hold: float = 1.5
    fresh: bool = False
    producers: tuple[str, ...] = (QUEUE,)
    keys: Mapping[str, Any] = field(default_factory=dict)
    cure: Mapping[str, Any] = field(default_factory=dict)
    by: Literal["", "restart", "hang-up"] = ""


def kept(*faults: str, **more: Any) -> Case:
    return Case("kept", faults, **more)


def passes(*faults: str, **more: Any) -> Case:
    return Case("passes", faults, **more)


def lasts(word: str, *faults: str, **more: Any) -> Case:
    return Case("lasts", faults, word, **more)


def refused(word: str, by: Literal["restart", "hang-up"], *faults: str, **more: Any) -> Case:
    return Case("refused", faults, word, by=by, **more)


async def drop(avaya: AvayaSimulator) -> None:
    """Cut the line; rows come and go without a word."""
    avaya.remove_keys(1, silent=True)
    avaya.add_keys(2, silent=True)
    await avaya.drop_sockets("rst")


async def expire(avaya: AvayaSimulator) -> None:
    avaya.expire_tokens()


async def lose_rows(avaya: AvayaSimulator) -> None:
    avaya.add_keys(3)
    avaya.remove_keys(3)


async def delete_subscription(avaya: AvayaSimulator) -> None:
    """Delete our subscription as another client of the account could."""
    [subscription] = avaya.subscriptions
    path = f"/api/notification/v1/accounts/{avaya.options.account_id}/subscriptions/{subscription}"
    async with open_http(avaya.base_url, headers={"appkey": avaya.options.appkey}) as http:
        bearer = {"Authorization": f"Bearer {await token(avaya)}"}
        assert (await http.request("DELETE", path, headers=bearer)).status == 204


async def intrude(avaya: AvayaSimulator) -> None:
    """Open a second socket on our subscription and hear what it is told."""
    [subscription] = avaya.subscriptions.values()
    async with open_websocket(subscription.endpoint) as websocket:
        await websocket.send(authentication(subscription.id, await token(avaya)))
        await websocket.receive()


async def token(avaya: AvayaSimulator) -> str:
    """Get an access token of the simulated account."""
    options = avaya.options
    path = f"/api/auth/v1/{options.account_id}/protocol/openid-connect/token"
    form = {"grant_type": "client_credentials", "client_id": options.client_id}
    async with open_http(avaya.base_url, headers={"appkey": options.appkey}) as http:
        answer = await http.request("POST", path, form={**form, "client_secret": options.client_secret})
    [text] = [part for part in answer.body.decode().split('"') if part.startswith("eyJ")][:1]
    return text


RENEWING = "token-seconds=16"
MISSPELT = {"measure_producers": ["Queue_ITD_1.0.0"], "activation_limit_seconds": 1.0}
SPELT = {"measure_producers": [QUEUE]}

CASES: Mapping[str, Case] = {
    "token-seconds": kept(RENEWING, hold=17),
    "token-cached": passes("token-cached", RENEWING, hold=17),
    "renew-extends-same-token": kept("renew-extends-same-token", RENEWING, hold=17),
    "pending-seconds": kept("pending-seconds=1"),
    "pending-forever": refused(
        "does not become ACTIVE", "restart", "pending-forever", keys={"activation_limit_seconds": 1.0}
    ),
    "unknown-subscription": passes("unknown-subscription=2"),
    "delete-closes": passes("delete-closes", act=delete_subscription),
    "delete-keeps": passes("delete-keeps", RENEWING, act=delete_subscription),
    "auth-reply-upper": kept("auth-reply-upper"),
    "endpoint-bare": kept("endpoint-bare"),
    "fractions-3": kept("fractions-3"),
    "extra-fields": kept("extra-fields"),
    "problem-status-string": kept("problem-status-string", "token-401:create=1"),
    "expires-at-far": kept("expires-at-far", RENEWING, hold=17),
    "auth-internal-error": passes("auth-internal-error"),
    "auth-constraint-violation": refused("CONSTRAINT_VIOLATION", "hang-up", "auth-constraint-violation"),
    "auth-unknown-status": passes("auth-unknown-status"),
    "auth-no-reply": passes("auth-no-reply", keys={"authentication_timeout_seconds": 0.5}),
    "auth-silence-seconds": kept("auth-silence-seconds=2", hold=3),
    "invalid-token": passes("invalid-token=2"),
    "invalid-token-closes": kept("invalid-token-closes", "invalid-token=1"),
    "invalid-token-keeps-open": passes("invalid-token-keeps-open", "invalid-token=2"),
    "ping-interval": kept("ping-interval=3", hold=5),
    "close-code": passes("close-code=1013", act=expire),
    "expiry-closes": passes("expiry-closes", act=expire),
    "expiry-keeps": kept("expiry-keeps", act=expire),
    # The renewals fail until the subscription has expired, and no data comes on that socket any more.
    "expiry-silent": passes("expiry-silent", "token-seconds=3", "error-500:renew=2", hold=10),
    "reauth-ignored": kept("reauth-ignored", RENEWING, hold=17, keys={"reauth_on_refresh": True}),
    "reauth-confirmed": kept("reauth-confirmed", RENEWING, hold=17, keys={"reauth_on_refresh": True}),
    "reauth-snapshot": kept("reauth-snapshot", RENEWING, hold=17, keys={"reauth_on_refresh": True}),
    "reauth-closes": passes("reauth-closes", RENEWING, hold=17, keys={"reauth_on_refresh": True}),
    "second-replaces": passes("second-replaces", act=intrude),
    "second-refused": kept("second-refused", act=intrude),
    "second-both": kept("second-both", act=intrude),
    "snapshot-empty": passes("snapshot-empty", keys={"snapshot_limit_seconds": 1.5}, hold=4, fresh=True),
    "snapshot-one": kept("snapshot-one", fresh=True),
    "snapshot-large": kept("snapshot-large=3000"),
    "snapshot-slow": kept("snapshot-slow=5", hold=3),
    "snapshot-pause": passes("snapshot-pause=1.8", act=drop, hold=3),
    "snapshot-first-only": passes(
        "snapshot-first-only", act=drop, hold=4, keys={"snapshot_limit_seconds": 1.5}
    ),
    "snapshot-again": kept("snapshot-again=1", hold=3),
    "live-in-snapshot": passes("live-in-snapshot", act=drop),
    "repeat-upserts": kept("repeat-upserts=3"),
    "delete-unknown": kept("delete-unknown=3"),
    "upsert-after-delete": kept("upsert-after-delete=3"),
    "initializing-delete": kept("initializing-delete=3"),
    "delete-with-measures": kept("delete-with-measures", act=lose_rows),
    "live-partial": kept("live-partial"),
    "live-full": kept("live-full"),
    "vanish-while-away": passes("vanish-while-away=3", act=drop, fresh=True),
    "midnight-reset": kept("midnight-reset=1", hold=3),
    "silent-night": kept("silent-night", hold=3),
    "half-open": passes("half-open=1", hold=5, fresh=True, keys=PINGS),
    "no-pong": kept("no-pong", "ping-interval=3", hold=5, keys=PINGS, fresh=True),
    "late-pong": kept("late-pong=3", hold=5, keys=PINGS),
    "drop-every": passes("drop-every=3", hold=8, fresh=True),
    "reset-every": passes("reset-every=3", hold=8, fresh=True),
    "close-every": passes("close-every=3", hold=8, fresh=True),
    "appkey-401": refused("create: 401", "restart", "appkey-401"),
    "token-401": lasts("401 with a new token", "token-401"),
    "forbidden-403": refused("create: 403", "hang-up", "forbidden-403"),
    "missing-404": refused("create: 404", "restart", "missing-404"),
    "limited-429": lasts("429", "limited-429"),
    "limited-429-bare": lasts("429", "limited-429-bare"),
    "error-500": lasts("500", "error-500"),
    "gateway-html": lasts("502", "gateway-html"),
    "slow-body": lasts("", "slow-body=3", keys={"request_timeout_seconds": 0.5}),
    "reset-after-post": passes("reset-after-post"),
    "spike-limit": passes("spike-limit=2", producers=PRODUCERS),
    "upgrade-503": passes("upgrade-503=2"),
    "unknown-payload-type": kept("unknown-payload-type=3"),
    "unknown-event-action": kept("unknown-event-action=3"),
    "unknown-event": kept("unknown-event=3"),
    "missing-keys": kept("missing-keys=3"),
    "non-string-values": kept("non-string-values=3"),
    "null-measures": kept("null-measures=3"),
    "null-values": kept("null-values=3"),
    "bad-json": kept("bad-json=3"),
    "invalid-utf8": passes("invalid-utf8=10", hold=4, fresh=True),
    "binary-frame": kept("binary-frame=3"),
    "huge-frame": kept("huge-frame=10"),
    "non-ascii-names": kept("non-ascii-names"),
    "awkward-keys": kept("awkward-keys"),
    "keys-by-channel": kept("keys-by-channel"),
    "fragmented": kept("fragmented"),
    "array-frames": kept("array-frames"),
    "slow-reader-dropped": kept("slow-reader-dropped", "snapshot-large=2000"),
    "wrong-case-400": refused("create: 400", "hang-up", "wrong-case-400", keys=MISSPELT, cure=SPELT),
    "wrong-case-pending": refused(
        "does not become ACTIVE", "hang-up", "wrong-case-pending", keys=MISSPELT, cure=SPELT
    ),
}
