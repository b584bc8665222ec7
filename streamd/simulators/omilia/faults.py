"""Name every undocumented choice and every fault of the simulator.

Rows are those of vendors/omilia.md section 8 (0: of another section, told in the text), marks its legend: S
the seed, P a public source, I inferred. Which of several answers to an open question holds by default is said
in section 9 there. "One in N" is a draw; N of 1 is each. Seconds are the simulated clock's, if not called
real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.simulators.omilia.vocabulary import DATA_TYPES, OPERATIONS
from streamd.simulators.switches import Switch, Switches

_INF = float("inf")


def _rest(name: str, row: int, mark: str, text: str) -> Switch:
    return Switch(name, row, mark, text, value=_INF, parts=OPERATIONS)


_PUSH = (
    Switch("repeat-batch", 1, "I", "one batch in N is pushed twice, byte for byte", value=10),
    Switch("rebatch", 2, "I", "one batch in N comes again in two parts under a new sessionId", value=10),
    Switch("reconcile-after", 3, "S", "reconciliation begins N s after the client is back", value=600),
    Switch(
        "reconcile-new-session", 3, "I", "it has a sessionId of its own", choice="reconcile", default=True
    ),
    Switch(
        "reconcile-same-session", 3, "I", "it shares the sessionId of the live stream", choice="reconcile"
    ),
    Switch(
        "reconcile-overlap", 3, "I", "it brings N accepted records before the first lost one, too", value=10
    ),
    Switch("reconcile-rate", 3, "S", "it sends N records a real second at most", value=50),
    Switch("reconcile-before-creation", 3, "I", "a new subscription gets the 24 h before it, too"),
    Switch("delay", 4, "I", "a stream runs behind", parts=DATA_TYPES),
    Switch("delay-seconds", 4, "I", "by N s", value=30),
    Switch("shuffle-records", 4, "I", "the records of a batch come in any order"),
    Switch("sequence-of-first", 5, "I", "it numbers the first record (A)", choice="sequence", default=True),
    Switch("sequence-base", 5, "I", "it is 0 in the whole session (B)", choice="sequence"),
    Switch("sequence-hole", 5, "I", "after one batch in N it skips 5", value=10),
    Switch(
        "sequence-reset", 5, "I", 'after one batch in N it begins at "0" again in the same session', value=10
    ),
    Switch("sequence-number", 5, "I", "it is a JSON number"),
    Switch("sequence-missing", 5, "I", "it is left out"),
    Switch("session-renews", 5, "I", "after one batch in N a new sessionId", value=10),
    Switch("empty-messages", 6, "I", "after one batch in N one without messages", value=10),
    Switch("wrong-type", 7, "I", "one batch in N holds a record of another message type", value=10),
    Switch("unknown-type", 8, "I", "one batch in N holds a record of a type nobody documented", value=10),
    Switch("extra-fields", 8, "I", "envelopes and records carry fields nobody documented"),
    Switch("type-drift", 8, "I", "one record in N has fields of other JSON types", value=10),
    Switch(
        "bad-record",
        9,
        "I",
        "one batch in N holds a number, a null, an array and a nameless object",
        value=10,
    ),
    Switch("huge-batch", 10, "I", "one batch in N is filled up to 4 MiB", value=10),
    Switch("gzip", 10, "I", "bodies are compressed with gzip"),
    Switch("chunked", 10, "I", "bodies come in HTTP chunks"),
    Switch("slow-send", 10, "I", "each body takes N real seconds to send", value=2),
    Switch("abort-mid-body", 10, "I", "one push in N is cut in mid-body", value=10),
    Switch("bad-json", 10, "I", "after one batch in N a body that is not JSON", value=10),
    Switch("invalid-utf8", 10, "I", "one batch in N holds a record that is not UTF-8", value=10),
    Switch("batch-size", 10, "I", "at most N records in a batch", value=500),
    Switch("envelope", 10, "S", "a body is one envelope", choice="body", default=True),
    Switch("bare-objects", 10, "P", "a body is one record, without an envelope", choice="body"),
    Switch("bare-array", 10, "I", "a body is an array of records", choice="body"),
    Switch("ndjson", 10, "I", "a body is one record per line", choice="body"),
    Switch("concurrent", 11, "I", "up to N pushes of one stream at a time", value=4),
    Switch(
        "token-cached", 12, "I", "a token is used until shortly before its end", choice="token", default=True
    ),
    Switch("token-per-push", 12, "I", "each push gets a token of its own", choice="token"),
    Switch("token-kept", 12, "I", "a token is used until a 401, past its end, too", choice="token"),
    Switch("bearer-forged", 12, "I", "N pushes carry a token signed by somebody else", value=1),
    Switch("bearer-missing", 12, "I", "N pushes carry no token", value=1),
    Switch("secret-previous", 12, "I", "N token calls use the secret of the previous subscription", value=1),
    Switch(
        "401-drops", 12, "I", "a 401 drops the batch; the next gets a new token", choice="401", default=True
    ),
    Switch("401-retries", 12, "I", "a 401 gets a new token and the batch is tried again", choice="401"),
    Switch("401-ignored", 12, "I", "a 401 drops the batch, the token is kept", choice="401"),
    Switch("token-body", 13, "I", "id and secret in a form body", choice="token-form", default=True),
    Switch("token-basic", 13, "I", "id and secret form-encoded in Basic", choice="token-form"),
    Switch("token-basic-raw", 13, "I", "id and secret as they are in Basic", choice="token-form"),
    Switch("token-both", 13, "I", "id and secret in Basic and in the body", choice="token-form"),
    Switch("token-json", 13, "I", "a JSON body instead of a form", choice="token-form"),
    Switch("scope-wrong", 13, "I", "N token calls ask for a scope nobody configured", value=1),
    Switch("secret-wrong", 13, "I", "N token calls use a wrong secret", value=1),
    Switch("deleted-pushes", 14, "I", "a deleted subscription is pushed N s longer", value=60),
    Switch("object-required", 15, "S", "only a JSON object accepts a batch", choice="answer", default=True),
    Switch("any-2xx", 15, "I", "any 2xx accepts a batch", choice="answer"),
    Switch("retry-at-once", 16, "I", "a failed push is tried N times more at once", value=2),
    Switch("retry-after-honoured", 16, "I", "a Retry-After makes the stream wait that long (real)"),
    Switch("discard-4xx", 16, "I", "a 4xx but 401, 408 and 429 is for ever"),
    Switch("answer-lost", 16, "I", "one push in N is cut before its answer", value=10),
    Switch("push-timeout", 16, "I", "an answer may take N real seconds", value=10),
    Switch("network-down", 16, "I", "no call to the client gets through"),
    Switch(
        "online-probed",
        16,
        "S",
        "back online: a push succeeds; every 10 min. an idle stream tries its oldest dropped batch",
        choice="online",
        default=True,
    ),
    Switch("probe-after", 16, "S", "an idle stream tries its oldest dropped batch every N s", value=600),
    Switch("online-by-push", 16, "I", "back online: a live push succeeds, nothing else", choice="online"),
    Switch("window-by-age", 17, "I", "records up to 24 h old come back", choice="window", default=True),
    Switch("window-by-outage", 17, "I", "after more than 24 h of outage nothing does", choice="window"),
    Switch("silent-stop", 18, "I", "nothing is pushed, and nothing comes back", parts=DATA_TYPES),
    Switch("vanish-every", 19, "I", "every N real seconds the oldest subscription is gone", value=60),
)
_MANAGEMENT = (
    Switch("create-500", 20, "I", "N creates are carried out and answered 500", value=1),
    Switch("create-reset", 20, "I", "N creates are carried out and answered by RST", value=1),
    Switch("slow-body", 20, "I", "half of each REST body comes N real seconds late", value=15),
    Switch("conflict-409", 21, "I", "a duplicate, a busy export: 409", choice="conflict", default=True),
    Switch("conflict-400", 21, "I", "a duplicate, a busy export: 400", choice="conflict"),
    Switch("slot-held", 22, "I", "for N s after a delete a create conflicts", value=30),
    Switch("delete-gone-404", 23, "I", "deleting what is gone: 404", choice="gone", default=True),
    Switch("delete-gone-200", 23, "I", "deleting what is gone: 200", choice="gone"),
    Switch("foreign", 24, "I", "another product of ours holds a slot, listed", parts=DATA_TYPES),
    Switch("foreign-hidden", 24, "I", "another user holds a slot, not listed", parts=DATA_TYPES),
    Switch("page-cap", 25, "I", "list pages hold at most N, whatever was asked", value=1),
    _rest("unauthorized-401", 26, "I", "401"),
    _rest("forbidden-403", 26, "P", "403, as for a group or a licence that is missing"),
    _rest("failed-402", 26, "P", "402"),
    Switch("refresh-expired", 26, "P", "N refreshes are refused: 400 invalid_grant", value=_INF),
    Switch("refresh-rotates", 26, "P", "a refresh token can be used once"),
    Switch("otp-required", 26, "P", "a password grant needs its otp"),
    Switch("account-locks", 26, "I", "after N wrong passwords the right one is refused, too", value=3),
    Switch("pat-refused", 26, "P", "personal access tokens are refused, as after 90 days without login"),
    Switch("realm-ocp", 26, "P", "the realm is called ocp"),
    Switch("bucket", 27, "S", "N requests a minute for the whole group", value=600),
    Switch("bucket-retry-after", 27, "I", "its 429 carries Retry-After"),
    _rest("limited-429", 27, "S", "429 with Retry-After: 1"),
    _rest("limited-429-bare", 27, "S", "429 without Retry-After"),
    _rest("error-500", 28, "P", "500"),
    _rest("unavailable-503", 28, "P", "503 with Retry-After: 1"),
    _rest("error-empty", 28, "I", "500 with an empty body"),
    _rest("gateway-html", 28, "I", "502 with a body of HTML"),
    Switch("error-body-old", 28, "P", 'error bodies are {"error", "code", "message"}'),
)
_BATCH = (
    Switch("foreign-job", 29, "I", "an export of somebody else runs for N s", value=60),
    Switch("name-blanks", 30, "I", "names may hold blanks", choice="name", default=True),
    Switch("name-literal", 30, "I", "the pattern as printed: a backslash, but no blanks", choice="name"),
    Switch("types-both", 30, "S", "both spellings of types are known", choice="types", default=True),
    Switch("types-legacy", 30, "S", "Dialog Data, Dialog Start, … only", choice="types"),
    Switch("types-v2", 30, "P", "All, dialog_start, … only", choice="types"),
    Switch("slow-states", 31, "I", "each state before READY lasts N s", value=60),
    Switch("unknown-state", 31, "I", "a state VALIDATING before READY"),
    Switch("failed-state", 31, "I", "jobs end as FAILED"),
    Switch("never-ready", 31, "I", "jobs stay RUNNING"),
    Switch("finished-late", 31, "S", "finished_date is three days late, at a round hour"),
    Switch("expires-after", 32, "S", "a job is EXPIRED N s after READY", value=86_400),
    Switch("expires-after-page", 32, "I", "a job is EXPIRED after N pages", value=1),
    Switch("unready-400", 33, "I", "what needs READY: 400 before", choice="unready", default=True),
    Switch("unready-404", 33, "I", "what needs READY: 404 before", choice="unready"),
    Switch("zip-truncated", 34, "I", "N zips lack their second half, in a whole HTTP body", value=1),
    Switch("zip-cut", 34, "I", "N zips are cut by RST in mid-body", value=1),
    Switch("zip-bad-crc", 34, "I", "N zips hold a member with a wrong CRC", value=1),
    Switch("zip-empty", 34, "I", "N zips hold no member", value=1),
    Switch("zip-bomb", 34, "I", "each zip holds N MiB of blanks more", value=64),
    Switch("zip-paths", 34, "I", "members are called ../ and /"),
    Switch("no-pagination", 34, "I", "no pagination headers"),
    Switch("file-records", 34, "I", "N records in a file at most", value=1000),
    Switch("zips-a-minute", 35, "S", "N zips within a minute", value=5),
    Switch("blank-lines", 36, "I", "blank lines in files"),
    Switch("no-final-newline", 36, "I", "the last line of a file has no newline"),
    Switch("bom", 36, "I", "files begin with a byte order mark"),
    Switch("bad-byte", 36, "I", "each file holds a record that is not UTF-8"),
    Switch("array-files", 36, "I", "files are one JSON array"),
    Switch("gzip-members", 36, "I", "files in zips are compressed with gzip again"),
    Switch("audio-members", 36, "P", "zips hold a WAV of a call, too"),
    Switch("other-bytes", 37, "I", "files spell what was pushed otherwise", choice="bytes", default=True),
    Switch("same-bytes", 37, "I", "files hold the bytes that were pushed", choice="bytes"),
    Switch("filter-time", 37, "I", "an hour holds records by their time", choice="filter", default=True),
    Switch("filter-end", 37, "I", "an hour holds ends by time + duration", choice="filter"),
    Switch("filter-made", 37, "I", "an hour holds records by when they were made", choice="filter"),
    Switch("fraction-digits", 38, "S", "timestamps carry N fraction digits (otherwise as needed)", value=3),
    Switch("retention-empty", 39, "I", "older than 60 days: empty", choice="retention", default=True),
    Switch("retention-400", 39, "I", "older than 60 days: 400", choice="retention"),
)
_DATA = (
    Switch("step-numbers", 40, "P", "steps carry their number"),
    Switch("steps-same-ms", 40, "I", "one step in N has the time of the one before it, two at most", value=5),
    Switch("all-masked", 44, "P", "every utterance and value is masked"),
    Switch("audit-events", 0, "S", "section 2: the type is audit_events", choice="audit", default=True),
    Switch("audit-short", 0, "S", "section 2: the type is audit", choice="audit"),
)

SWITCHES = (*_PUSH, *_MANAGEMENT, *_BATCH, *_DATA)
_BY_NAME = {switch.name: switch for switch in SWITCHES}

# What `streamd simulate omilia --help` lists: name -> one line.
FAULTS: Mapping[str, str] = {switch.name: switch.describe() for switch in SWITCHES}


def read_faults(written: Iterable[str] = ()) -> Switches:
    """Return the switches that are on; raise ConfigError that names every mistake."""
    return Switches(_BY_NAME, written)
