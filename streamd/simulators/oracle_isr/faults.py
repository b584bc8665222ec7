"""Name every undocumented choice and every fault of the simulator.

Rows are sections of vendors/oracle_isr.md, marks its legend: S the seed, P a public source, I inferred. Which
of several answers to an open question (section 10) holds by default is said there or in the package's
docstring. "One in N" is a draw per recording or notification; N of 1 is each. Seconds are the recorder's
clock's, if not called real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from streamd.simulators.oracle_isr.codes import MESSAGES
from streamd.simulators.switches import Switch, Switches

# What a switch that spoils answers can be narrowed to with `name:operation`.
OPERATIONS = ("login", "details", "segments", "notify", "version")
_INF = float("inf")


def _http(name: str, row: int, mark: str, text: str) -> Switch:
    return Switch(name, row, mark, text, value=_INF, parts=OPERATIONS)


def code_switch(code: int) -> str:
    """Return the name of the switch that forces a return code."""
    return "nack" if code == -1 else f"code-{code}"


_CODES = tuple(
    _http(code_switch(code), 6, "S", f"return code {code}: {message.partition(' at ')[0]}")
    for code, message in MESSAGES.items()
    if code != 0
)
_LOGIN = (
    Switch("lock-after", 1, "S", "N wrong passwords lock the account (otherwise 5)", value=3),
    Switch("password-expired", 1, "S", "the password has expired: an error, no token"),
    Switch("not-api-user", 1, "S", "the user is no API User: the generic error"),
    Switch("expiration-day", 1, "S", "not asked for, it is a day", choice="unasked", default=True),
    Switch("expiration-hour", 1, "P", "not asked for, it is an hour", choice="unasked"),
    Switch("expiration-cap", 1, "S", "tokens live N real seconds at most (otherwise a day)", value=60),
    Switch("expiration-text", 1, "P", "expiration is 3600seconds", choice="expiration", default=True),
    Switch("expiration-bare", 1, "I", 'expiration is "3600"', choice="expiration"),
    Switch("expiration-number", 1, "I", "expiration is 3600, a number in JSON", choice="expiration"),
    Switch("expiration-missing", 1, "I", "expiration is left out", choice="expiration"),
    Switch("token-malformed", 1, "P", "tokens are no well-formed UUIDs"),
    Switch("token-awkward", 1, "I", "tokens hold characters that a URL needs encoded"),
    Switch("login-xml", 1, "I", "login answers in XML, whatever is asked for"),
    Switch("second-login-keeps", 1, "I", "the first token stays good", choice="second", default=True),
    Switch("second-login-kills", 1, "I", "a second login ends the first token", choice="second"),
    Switch("expired-nack", 6, "I", "a bad token: code -1 with words", choice="expired", default=True),
    Switch("expired-mute", 6, "I", "a bad token: code -1, NACK", choice="expired"),
    Switch("expired-2", 6, "I", "a bad token: code 2", choice="expired"),
    Switch("expired-401", 6, "I", "a bad token: HTTP 401 with a page", choice="expired"),
    Switch("expired-403", 6, "I", "a bad token: HTTP 403 with a page", choice="expired"),
    Switch("tokens-expire-every", 1, "I", "every N real seconds all tokens end", value=20),
)
_SEARCH = (
    Switch("none-19", 2, "S", "no match: code 19", choice="none", default=True),
    Switch("none-26", 2, "S", "no match: code 26", choice="none"),
    Switch("none-empty-list", 2, "I", "no match: code -1 with no matches in the list", choice="none"),
    Switch("none-ack", 2, "I", "no match: code 0 and nothing more", choice="none"),
    Switch("order-random", 2, "I", "lists come in any order", choice="order", default=True),
    Switch("order-id", 2, "I", "lists come by id", choice="order"),
    Switch("order-newest", 2, "I", "lists come with the newest id first", choice="order"),
    Switch("cut-unsaid", 2, "I", "a list that was cut has the message of a whole one"),
    Switch("recordingid-ignored", 2, "P", "recordingId and tmpRecordingId are no criteria (before 6.4)"),
    Switch("recordingid-refused", 2, "I", "recordingId and tmpRecordingId are refused: code 3"),
    Switch("live-bounds-ignored", 10, "I", "bounds of time are ignored with inProgress=true"),
    Switch("live-match-tmp", 10, "I", "live matches have tmpRecordingId", choice="live", default=True),
    Switch(
        "live-match-id", 10, "I", "live matches have it as recordingId, and are found by it", choice="live"
    ),
    Switch("match-without-ucid", 2, "P", "matches have no isrUcid (6.4)"),
    Switch("match-without-ingress", 2, "I", "matches have no ingressCallId"),
    Switch("match-filename", 2, "P", "matches have a filename (older ones)"),
    Switch("user-zone", 2, "P", "times are in the API user's zone, asked and answered"),
    Switch("bounds-by-second", 2, "I", "bounds are compared by whole seconds"),
    Switch("fraction-refused", 10, "I", "times with a fraction are refused: code -1"),
    Switch("segment-alone", 2, "I", "one segment: a segment", choice="segment", default=True),
    Switch("segment-in-recording", 2, "I", "one segment: its recording, with it alone", choice="segment"),
    Switch("details-6-4", 2, "P", "details leave out rss, agentId, isrUcid and directory"),
)
_NETWORK = (
    _http("unauthorized-401", 6, "I", "401 with a page"),
    _http("forbidden-403", 6, "I", "403 with a page"),
    _http("error-500", 6, "I", "500 with a page of Tomcat's"),
    _http("unavailable-503", 6, "I", "503 with Retry-After: 1"),
    _http("gateway-html", 6, "I", "502 with a page"),
    _http("tomcat-200", 6, "I", "200 with a page of Tomcat's"),
    _http("empty-body", 9, "I", "200 with nothing"),
    _http("reset", 9, "I", "RST in place of the answer"),
    Switch("slow-reply", 9, "S", "every answer comes N real seconds late", value=15),
    Switch("drip-body", 9, "I", "half of each answer comes N real seconds late", value=15),
    Switch("refuse-parallel", 9, "S", "above N requests at a time the next one gets RST", value=2),
    Switch("error-status-400", 6, "I", "codes other than 0 come with 400 where no list comes with them"),
    Switch("no-date", 8, "I", "no Date header"),
    Switch("clock-off", 8, "I", "the Date header is N s ahead of the times", value=3600),
)
_ENCODING = (
    Switch("xml-only", 7, "I", "XML, whatever is asked for"),
    Switch("errors-xml", 7, "I", "answers without a recording or a list are XML"),
    Switch("xml-declared-utf16", 7, "S", "UTF-8 that declares UTF-16", choice="xml", default=True),
    Switch("xml-utf8", 7, "I", "UTF-8 that says so", choice="xml"),
    Switch("xml-bare", 7, "P", "UTF-8 without a declaration", choice="xml"),
    Switch("xml-utf16-le", 7, "S", "UTF-16 with a BOM, little end first", choice="xml"),
    Switch("xml-utf16-be", 7, "S", "UTF-16 with a BOM, big end first", choice="xml"),
    Switch("xml-utf16-no-bom", 7, "I", "UTF-16 without a BOM, big end first", choice="xml"),
    Switch("xml-pretty", 7, "S", "XML with line breaks between and in elements"),
    Switch("xml-dtd", 7, "I", "XML with a DTD and entities that grow"),
    Switch("xml-location-id", 7, "P", "XML spells locationId as JSON does (6.4)"),
    Switch("json-curly", 7, "S", "JSON strings end in curly quotes as the seed's do"),
    Switch("json-plain", 7, "I", "JSON lists without wrappers"),
    Switch("json-segments-wrapped", 7, "I", "segments are wrapped, too, and have no empty last key"),
    Switch("json-text", 7, "I", "every scalar in JSON is a string"),
    Switch("response-envelope", 7, "S", "response and Code, as eventNotify has them"),
    Switch("empty-faces", 7, "S", 'what is empty is "", [] or missing, drawn anew each time'),
    Switch("parts-shuffled", 7, "I", "lists within a recording come in any order, drawn anew each time"),
    Switch("extra-fields", 7, "I", "answers hold fields nobody documented"),
    Switch("content-type-html", 7, "I", "the Content-Type is text/html for all"),
)
_LIFE = (
    Switch("late", 3, "I", "one in N can be found late, with its old end", value=20),
    Switch("late-seconds", 3, "I", "how late: N s", value=120),
    Switch("live-late", 5, "I", "recordings can be found live N s after their start", value=2),
    Switch("short", 3, "I", "one in N lasts 2 s at most", value=10),
    Switch("split", 3, "S", "one in N is split into segments", value=10),
    Switch("pause", 3, "S", "one in N is paused for a while", value=10),
    Switch("deleted", 3, "S", "one in N is deleted after 5 min", value=50),
    Switch("moved", 3, "S", "one in N is moved by the archiver again after 10 min", value=10),
    Switch("changed", 3, "S", "one in N gets other custom data after 5 min", value=10),
    Switch("shared-call", 2, "P", "one call in N is recorded twice, 20 s apart", value=10),
    Switch("same-second", 9, "I", "one call in N starts in the second of the one before it", value=5),
    Switch("ucid-per-recording", 10, "I", "the second recording of a call has an isrUcid of its own"),
    Switch("lost", 3, "I", "one in N is never found after its end", value=50),
    Switch("stuck", 3, "I", "one in N never ends", value=50),
    Switch("hidden", 1, "S", "one in N belongs to another account: pushed, never found", value=10),
    Switch("no-ingress", 3, "I", "one in N has no ingressCallId", value=10),
    Switch("no-ucid", 3, "P", "one in N has no isrUcid", value=10),
    Switch("no-siprec", 2, "I", "one in N has no SIPREC data", value=10),
)
_PUSH = (
    Switch("notify-get", 5, "I", "notifications are GET", choice="method", default=True),
    Switch("notify-post", 5, "I", "they are POST, with their parameters in the URL", choice="method"),
    Switch("notify-post-form", 5, "I", "they are POST, with their parameters in a form", choice="method"),
    Switch("notify-raw-at", 5, "S", "their @ is raw"),
    Switch("notify-bare-ucid", 5, "S", "their ucid is without its prefix"),
    Switch("notify-face-names", 5, "S", "recordings' start and end are spelt as FACE spells them"),
    Switch("notify-odd-aors", 5, "S", "their AORs have hosts that cannot be"),
    Switch("notify-duplicate", 5, "I", "one in N comes twice", value=10),
    Switch("notify-lost", 5, "I", "one in N is lost", value=10),
    Switch("notify-shuffled", 5, "I", "one in N comes behind the next", value=5),
    Switch("notify-late", 5, "I", "they come N s late", value=30),
    Switch("notify-forged", 5, "I", "every N real seconds one comes of what is no recording", value=10),
    Switch("notify-retries", 5, "I", "what is not answered with 200 is tried N times more", value=3),
)

SWITCHES = (*_LOGIN, *_SEARCH, *_CODES, *_NETWORK, *_ENCODING, *_LIFE, *_PUSH)
_BY_NAME = {switch.name: switch for switch in SWITCHES}

# What `streamd simulate oracle_isr --help` lists: name -> one line.
FAULTS: Mapping[str, str] = {switch.name: switch.describe() for switch in SWITCHES}


def read_faults(written: Iterable[str] = ()) -> Switches:
    """Return the switches that are on; raise ConfigError that names every mistake."""
    return Switches(_BY_NAME, written)


def draw(faults: Switches, name: str, random: Random) -> bool:
    """Draw whether a switch that means one in N strikes this time."""
    return faults.has(name) and random.random() * max(1.0, faults.number(name)) < 1
