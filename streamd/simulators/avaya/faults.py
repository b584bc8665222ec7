"""Name every undocumented choice and every fault of the simulator.

Rows are those of vendors/avaya.md section 5, marks its marks: S the seed, P a public source, I inferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.simulators.switches import Switch, Switches

# The REST operations that a switch can be narrowed to with `name:operation`.
OPERATIONS = ("token", "producers", "create", "list", "get", "delete", "renew")


def _rest(name: str, mark: str, text: str) -> Switch:
    return Switch(name, 16, mark, text, value=float("inf"), parts=OPERATIONS, spared=("token",))


SWITCHES = (
    Switch("token-seconds", 1, "P", "life of an access token in seconds", value=900),
    Switch("token-cached", 1, "I", "the token call hands out the same token again while it lives"),
    Switch("renew-extends-same-token", 1, "I", "renewing with the same token extends the subscription"),
    Switch("pending-seconds", 2, "P", "a new subscription is PENDING for N seconds, then ACTIVE", value=5),
    Switch("pending-forever", 2, "P", "a new subscription stays PENDING"),
    Switch("unknown-subscription", 3, "S", "N authentications in a row get UNKNOWN_SUBSCRIPTION", value=1),
    Switch(
        "delete-closes", 3, "I", "deleting a subscription closes its socket", choice="delete", default=True
    ),
    Switch("delete-keeps", 3, "I", "deleting a subscription leaves its socket streaming", choice="delete"),
    Switch("auth-reply-upper", 4, "P", "the reply is spelt AUTHENTICATION_RESPONSE"),
    Switch("endpoint-bare", 4, "P", "the endpoint ends in /realtime, without account and subscription"),
    Switch("fractions-3", 4, "P", "times carry 3 fraction digits instead of 9"),
    Switch("extra-fields", 4, "P", "responses and messages carry fields nobody documented"),
    Switch("problem-status-string", 4, "P", "status in a problem body is a string"),
    Switch("expires-at-far", 4, "P", "expiresAt is 7 days away while expiresIn is right"),
    Switch("auth-internal-error", 5, "S", "N authentications get INTERNAL_SERVER_ERROR", value=1),
    Switch("auth-constraint-violation", 5, "S", "N good authentications get CONSTRAINT_VIOLATION", value=1),
    Switch("auth-unknown-status", 5, "I", "N authentications get a status nobody documented", value=1),
    Switch("auth-no-reply", 5, "I", "N authentications are never answered", value=1),
    Switch("auth-silence-seconds", 5, "I", "how long a socket may stay unauthenticated", value=15),
    Switch("invalid-token", 6, "S", "N good tokens are called INVALID_TOKEN", value=1),
    Switch("invalid-token-closes", 6, "I", "INVALID_TOKEN, then close", choice="invalid-token", default=True),
    Switch("invalid-token-keeps-open", 6, "I", "INVALID_TOKEN, socket left open", choice="invalid-token"),
    Switch("ping-interval", 7, "P", "pingInterval in seconds", value=300),
    Switch("close-code", 7, "I", "close code of a socket that the service ends by itself", value=1000),
    Switch("expiry-closes", 8, "I", "expiry closes the open socket", choice="expiry", default=True),
    Switch("expiry-keeps", 8, "I", "expiry leaves the open socket streaming", choice="expiry"),
    Switch("expiry-silent", 8, "I", "expiry ends the data, pings are still answered", choice="expiry"),
    Switch("reauth-ignored", 9, "I", "a second authentication is ignored", choice="reauth", default=True),
    Switch("reauth-confirmed", 9, "I", "a second authentication is confirmed", choice="reauth"),
    Switch("reauth-snapshot", 9, "I", "a second authentication: confirmed, new snapshot", choice="reauth"),
    Switch("reauth-closes", 9, "I", "a second authentication closes the socket", choice="reauth"),
    Switch("second-replaces", 10, "I", "a second socket closes the first", choice="second", default=True),
    Switch("second-refused", 10, "I", "a second socket gets INTERNAL_SERVER_ERROR", choice="second"),
    Switch("second-both", 10, "I", "both sockets receive", choice="second"),
    Switch("snapshot-empty", 11, "I", "no INITIALIZING message, although there are keys"),
    Switch("snapshot-one", 11, "I", "INITIALIZING holds one key only, although there are more"),
    Switch("snapshot-large", 11, "I", "every producer has at least N keys", value=50_000),
    Switch("snapshot-slow", 11, "I", "INITIALIZING comes at N keys a second", value=10),
    Switch("snapshot-pause", 11, "I", "INITIALIZING rests N seconds mid-way", value=12),
    Switch("snapshot-first-only", 11, "I", "only a subscription's first socket gets a snapshot"),
    Switch("snapshot-again", 11, "I", "every N seconds a snapshot comes in the middle of LIVE", value=10),
    Switch("live-in-snapshot", 12, "I", "LIVE is mixed into INITIALIZING instead of held back"),
    Switch("repeat-upserts", 12, "I", "one LIVE in N comes twice", value=10),
    Switch("delete-unknown", 12, "I", "after one LIVE in N a DELETE of an unknown key", value=10),
    Switch("upsert-after-delete", 12, "I", "after one LIVE in N its key: DELETE, then UPSERT", value=10),
    Switch("initializing-delete", 12, "I", "after one LIVE in N an INITIALIZING DELETE", value=10),
    Switch("delete-with-measures", 12, "I", "DELETE carries the last measures"),
    Switch("live-partial", 12, "I", "LIVE holds newly calculated measures", choice="live", default=True),
    Switch("live-full", 12, "I", "LIVE holds all measures of its key", choice="live"),
    Switch("vanish-while-away", 13, "I", "when a socket ends, N keys go without a DELETE", value=3),
    Switch("midnight-reset", 14, "I", "every N seconds all counters fall to zero, in one burst", value=10),
    Switch("silent-night", 14, "I", "no LIVE data at all, pongs only"),
    Switch("half-open", 15, "I", "a socket goes dead after N seconds: no data, no pong, no FIN", value=5),
    Switch("no-pong", 15, "I", "data flows, pings are not answered"),
    Switch("late-pong", 15, "I", "pongs come N seconds late", value=5),
    Switch("drop-every", 15, "I", "every N seconds all sockets end with FIN, no close frame", value=5),
    Switch("reset-every", 15, "I", "every N seconds all sockets end with RST", value=5),
    Switch("close-every", 15, "I", "every N seconds all sockets are closed with 1011", value=5),
    _rest("appkey-401", "P", "401 with a detail that ends in (Appkey)"),
    _rest("token-401", "P", "401 with a detail that ends in (Access-Token)"),
    _rest("forbidden-403", "P", "403"),
    _rest("missing-404", "P", "404"),
    _rest("limited-429", "P", "429 with Retry-After: 1"),
    _rest("limited-429-bare", "P", "429 without Retry-After"),
    _rest("error-500", "P", "500"),
    _rest("gateway-html", "I", "502 with HTML instead of a problem"),
    Switch("slow-body", 16, "I", "half of each REST body comes N seconds late", value=15),
    Switch("reset-after-post", 16, "I", "N creates are carried out and answered by RST", value=1),
    Switch("spike-limit", 16, "P", "more than N REST calls in a second get 429", value=10),
    Switch("upgrade-503", 16, "I", "N websocket upgrades are answered 503", value=1),
    Switch("unknown-payload-type", 17, "I", "after one LIVE in N a payloadType REPLAYED", value=10),
    Switch("unknown-event-action", 17, "I", "after one LIVE in N an eventAction MERGE", value=10),
    Switch("unknown-event", 17, "I", "after one LIVE in N an event nobody documented", value=10),
    Switch("missing-keys", 17, "I", "after one LIVE in N a message without keys", value=10),
    Switch("non-string-values", 17, "I", "after one LIVE in N measures of number and boolean", value=10),
    Switch("null-measures", 17, "I", "after one LIVE in N measures that are null", value=10),
    Switch("null-values", 17, "I", "after one LIVE in N a measure whose value is null", value=10),
    Switch("bad-json", 17, "I", "after one LIVE in N a text that is not JSON", value=10),
    Switch("invalid-utf8", 17, "I", "after one LIVE in N a text frame that is not UTF-8", value=10),
    Switch("binary-frame", 17, "I", "after one LIVE in N a message in a binary frame", value=10),
    Switch("huge-frame", 17, "I", "after one LIVE in N a message above 1 MiB", value=100),
    Switch("non-ascii-names", 17, "I", "names of people and queues are not ASCII (keys made from then on)"),
    Switch("awkward-keys", 17, "I", "key values hold | & = % / and spaces (keys made from then on)"),
    Switch(
        "keys-by-channel", 17, "S", "Queue_itd keyed by channelId, as in the seed (keys made from then on)"
    ),
    Switch("fragmented", 17, "I", "every text message comes in three fragments"),
    Switch("array-frames", 17, "I", "up to 20 messages come as one JSON array"),
    Switch("slow-reader-dropped", 18, "I", "a socket with N unread bytes waiting is reset", value=262_144),
    Switch("wrong-case-400", 19, "I", "an unknown producer id is a 400", choice="producer", default=True),
    Switch("wrong-case-pending", 19, "I", "an unknown producer id is PENDING for ever", choice="producer"),
)

_BY_NAME = {switch.name: switch for switch in SWITCHES}

# What `streamd simulate avaya --help` lists: name -> one line.
FAULTS: Mapping[str, str] = {switch.name: switch.describe() for switch in SWITCHES}


def read_faults(written: Iterable[str] = ()) -> Switches:
    """Return the switches that are on; raise ConfigError that names every mistake."""
    return Switches(_BY_NAME, written)
