"""Name every undocumented choice and every fault of the simulator.

Rows are those of vendors/o2g.md section 3 (0: of another section, told in the text), marks its evidence
tags: S the seed, P a public source, R seen with the vendor's SDK, I inferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.simulators.switches import Switch, Switches

# What a switch that spoils HTTP answers can be narrowed to with `name:operation`.
OPERATIONS = (
    "info",
    "authenticate",
    "session",
    "keepalive",
    "logout",
    "logins",
    "users",
    "subscribe",
    "unsubscribe",
    "snapshot",
    "state",
    "agent",
    "routing",
    "rti",
    "pilot",
    "open",
    "reopen",
)
PACKAGES = (
    "telephony",
    "eventSummary",
    "unifiedComLog",
    "routingManagement",
    "user",
    "userManagement",
    "agent",
    "pilot",
    "rti",
    "acdstats",
    "rsi",
    "system",
    "pbxManagement",
)
_INF = float("inf")


def _rest(name: str, row: int, mark: str, text: str) -> Switch:
    return Switch(name, row, mark, text, value=_INF, parts=OPERATIONS)


SWITCHES = (
    # Framing of the channel
    Switch("chunk-bytes", 1, "R", "HTTP chunks of N bytes, wherever lines and characters end", value=1),
    Switch("chunk-random", 1, "R", "HTTP chunks of 1 to 200 bytes, wherever lines and characters end"),
    Switch("chunk-per-line", 1, "R", "each line in an HTTP chunk of its own, also in a burst"),
    Switch("blank-lines", 1, "R", "after one line in N a blank line", value=10),
    Switch("crlf", 1, "I", "lines end in CR LF (open question 10)"),
    Switch("unterminated-end", 1, "R", "the last line before a clean end is whole but has no newline"),
    Switch("non-ascii-names", 1, "R", "names of people are not ASCII (from the start only)"),
    Switch("truncated-end", 2, "R", "the last line before a clean end is cut in half"),
    # Ends of the channel
    Switch("timeout-lifetime", 3, "P", "timeout is the channel's lifetime", choice="timeout", default=True),
    Switch("timeout-idle", 3, "P", "timeout is how long the channel may be without a line", choice="timeout"),
    Switch("clean-every", 3, "R", "every N seconds all channels end cleanly", value=5),
    Switch("message-before-close", 3, "P", 'a "Message" event with ERROR precedes a clean end'),
    Switch("close-after-start", 4, "R", 'N channels end right after "Chunk started"', value=_INF),
    Switch("drop-every", 5, "R", "every N seconds all channels end with FIN in mid-body", value=5),
    Switch("reset-every", 5, "R", "every N seconds all channels end with RST", value=5),
    Switch(
        "half-open", 5, "P", "a channel goes silent after N seconds: no data, no heartbeat, no FIN", value=5
    ),
    Switch("no-heartbeat", 5, "P", "no heartbeats"),
    Switch("heartbeat-seconds", 6, "P", "heartbeats every N seconds (open question 1)", value=30),
    Switch("heartbeat-always", 6, "I", "heartbeats also with a timeout other than 0"),
    Switch("heartbeat-burst", 6, "P", "after one line in N a heartbeat", value=10),
    Switch(
        "unknown-channel-text", 6, "I", "after one line in N an OnChannelInformation nobody knows", value=10
    ),
    # Lines
    Switch("unknown-event", 7, "R", "after one line in N an event nobody documented", value=10),
    Switch("missing-event-name", 7, "R", "after one line in N an event without eventName", value=10),
    Switch("extra-fields", 7, "I", "events and answers carry fields nobody documented"),
    Switch("null-fields", 7, "I", "what would be absent is null"),
    Switch("new-enum", 7, "I", "after one line in N an event with values nobody documented", value=10),
    Switch("bad-json", 7, "R", "after one line in N a line that is not JSON", value=10),
    Switch("invalid-utf8", 7, "I", "after one line in N a line that is not UTF-8", value=10),
    Switch("not-an-object", 7, "I", "after one line in N a line that is a JSON array", value=10),
    Switch("two-on-a-line", 7, "R", "after one line in N a line that holds two objects", value=10),
    Switch("huge-line", 7, "I", "after one line in N a line above 1 MiB", value=100),
    Switch("call-data-kept", 7, "P", "modifications that leave callData as it was omit it"),
    Switch("opaque-participants", 7, "P", "participantId is no extension"),
    Switch("caller-participants", 7, "P", "the caller's OnCallCreated names the callee already"),
    Switch("releasing-both", 7, "I", "the side that hangs up gets the RELEASING step, too"),
    Switch("device-states-nested", 7, "P", "deviceStates in OnTelephonyState is an object of one array"),
    Switch("skills-bare", 7, "P", "skills is an array instead of an object of one array"),
    Switch("withdraw-node", 7, "P", "withdrawn is spelt withdraw"),
    Switch("dynamic-modified", 7, "P", "OnDynamicStateChanged is called OnDynamicStateModified"),
    Switch("agent-group-string", 7, "P", "agentGroup is a string"),
    Switch("acdstats-node", 7, "P", "steps of OnAcdStatsProgress as Node spells them"),
    # The channel and the session live on their own
    Switch("polling-port-down", 8, "R", "nobody listens on the event port"),
    _rest("unauthorized-401", 9, "R", "401"),
    _rest("forbidden-403", 9, "R", "403"),
    _rest("missing-404", 9, "R", "404"),
    _rest("error-500", 9, "R", "500"),
    _rest("unavailable-503", 9, "R", "503 with Retry-After: 1"),
    _rest("limited-429", 9, "I", "429 with Retry-After: 1"),
    Switch("expired-403", 10, "P", "a dead session or token: 403", choice="expired", default=True),
    Switch("expired-401", 10, "I", "a dead session or token: 401", choice="expired"),
    Switch("expired-404", 10, "R", "a dead session: 404 (a dead token: 403)", choice="expired"),
    Switch("expiry-keeps-channel", 10, "R", "channels stream on when their session is gone"),
    Switch("channel-keeps-session", 11, "I", "lines on a channel count as requests of its session"),
    Switch("sessions-expire-every", 11, "I", "every N seconds all sessions expire", value=20),
    # Subscribing and logging in
    Switch("subscribe-partial", 12, "P", "N subscriptions are PARTIAL: the last id is left out", value=_INF),
    Switch("subscribe-refused", 12, "P", "N subscriptions are REFUSED with a message", value=_INF),
    Switch("subscribe-unknown", 12, "P", "N subscriptions have the status UNKNOWN", value=_INF),
    Switch("account-locks", 13, "I", "after N wrong passwords the right one is refused, too", value=3),
    _rest("unauthorized-html", 14, "R", "401 with a body of HTML"),
    _rest("error-empty", 14, "R", "500 with an empty body"),
    _rest("gateway-html", 14, "I", "502 with a body of HTML"),
    Switch("error-type-capital", 14, "P", "error bodies spell type as Type"),
    Switch("internal-port-80", 15, "P", "internal URLs are http://host:80/…, where nobody listens"),
    Switch("http-base", 15, "R", "base URLs are http even where the root is https"),
    Switch("http-polling", 15, "R", "polling URLs are http even where the root is https"),
    Switch("secure-cookie", 15, "R", "cookies are Secure"),
    Switch("token-in-body-only", 16, "P", "no Set-Cookie on authentication, credential only"),
    Switch("token-in-cookie-only", 16, "P", "Set-Cookie on authentication, no credential"),
    Switch("no-jsessionid", 16, "P", "no JSESSIONID on opening a session"),
    Switch("jsessionid-required", 16, "I", "calls without their JSESSIONID: 403 (open question 6)"),
    # What is lost, repeated or out of order
    Switch(
        "closed-loses",
        17,
        "I",
        "what happens while no channel is open is lost",
        choice="closed",
        default=True,
    ),
    Switch("closed-queues", 17, "I", "up to N lines wait for the next channel", value=1000, choice="closed"),
    Switch("repeat-on-reopen", 17, "I", "a reopened channel begins with the last N lines again", value=5),
    Switch("second-replaces", 17, "I", "a second channel ends the first", choice="second", default=True),
    Switch("second-refused", 17, "I", "a second channel gets 409", choice="second"),
    Switch("second-both", 17, "I", "both channels receive", choice="second"),
    Switch(
        "transfer-keeps-callref",
        18,
        "S",
        "who is transferred keeps his callRef",
        choice="transfer",
        default=True,
    ),
    Switch("transfer-new-callref", 18, "P", "he gets a new one, with previousCallRef", choice="transfer"),
    Switch(
        "unknown-call", 18, "P", "after one line in N modified and removed of a call never seen", value=10
    ),
    Switch("reuse-callrefs", 18, "I", "callRefs come from a pool of N and come again", value=20),
    Switch("shuffle-users", 19, "S", "users' streams of one step interleave at random"),
    Switch("snapshot-slow", 20, "P", "OnTelephonyState for N users a second", value=10),
    Switch("snapshot-stale", 20, "I", "snapshots are taken when asked for, sent behind later events"),
    Switch("snapshot-silent", 20, "I", "a snapshot that was accepted never comes"),
    Switch(
        "link-resends", 21, "I", "a link that is back sends state of who changed", choice="link", default=True
    ),
    Switch("link-forgets", 21, "I", "a link that is back sends its own events only", choice="link"),
    Switch(
        "link-down-every", 21, "P", "every N seconds the CTI link is down for a quarter of them", value=20
    ),
    Switch(
        "host-down-every", 22, "P", "every N seconds the next host in turn is down for half of them", value=20
    ),
    Switch(
        "restart-every", 22, "I", "every N seconds all hosts forget tokens, sessions, subscriptions", value=30
    ),
    Switch("session-seconds", 23, "R", "timeToLive is N", value=2),
    Switch(
        "unknown-login-partial",
        24,
        "I",
        "a login that cannot be monitored: PARTIAL",
        choice="login",
        default=True,
    ),
    Switch("unknown-login-refused", 24, "I", "such a login: REFUSED", choice="login"),
    Switch("unknown-login-400", 24, "I", "such a login: 400", choice="login"),
    Switch("unknown-login-ignored", 24, "I", "such a login: ACCEPTED, and silence", choice="login"),
    Switch("not-monitored", 24, "P", "the last N users have no right to be monitored", value=1),
    Switch("unlicensed", 24, "P", "packages without a licence: not part of a subscription", parts=PACKAGES),
    Switch("slow-reader-dropped", 25, "I", "a channel with N unread bytes waiting is reset", value=262_144),
    Switch("slow-reader-skips", 25, "I", "lines for a channel with N bytes waiting are lost", value=262_144),
    # HTTP at large
    Switch("slow-body", 0, "I", "half of each REST body comes N seconds late", value=15),
    Switch("reset-after-post", 0, "I", "N sessions or subscriptions are made and answered by RST", value=1),
)

_BY_NAME = {switch.name: switch for switch in SWITCHES}

# What `streamd simulate o2g --help` lists: name -> one line.
FAULTS: Mapping[str, str] = {switch.name: switch.describe() for switch in SWITCHES}


def read_faults(written: Iterable[str] = ()) -> Switches:
    """Return the switches that are on; raise ConfigError that names every mistake."""
    return Switches(_BY_NAME, written)
