"""Name every undocumented choice and every fault of the simulator.

Rows are the sections of vendors/huawei_aicc.md, marks its legend: S the seed, P a public source, I inferred.
"One in N" counts; N of 1 is each. Seconds are the simulated clock's, if not called real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.simulators.huawei_aicc.vocabulary import DESCRIPTIONS, NO_DATA, OPERATIONS
from streamd.simulators.switches import Switch, Switches

_INF = float("inf")
_CODES = tuple(DESCRIPTIONS)


def _forced(name: str, mark: str, text: str) -> Switch:
    return Switch(name, 4, mark, text, value=_INF, parts=OPERATIONS)


def _code(name: str, operation: str) -> Switch:
    spared = tuple(code for code in _CODES if code != "0300045")
    text = f"N {operation} calls get 0300045, or the code that is named"
    return Switch(name, 4, "P", text, value=1, parts=_CODES, spared=spared)


_SIGNATURE = (
    Switch("skew-limit", 1, "I", "a timestamp may be N s off, real or simulated", value=900),
    Switch("skew-unchecked", 1, "I", "any timestamp is good"),
    Switch("host-as-sent", 1, "I", "Host counts as it was sent", choice="host", default=True),
    Switch("host-bare", 1, "P", "Host counts without its port", choice="host"),
    Switch("host-with-port", 1, "P", "Host counts with the port, sent or not", choice="host"),
    Switch("lock-after", 1, "I", "N wrong signatures within 10 minutes lock an address", value=5),
    Switch("lock-seconds", 1, "I", "for N s", value=1800),
    Switch("lock-never", 1, "I", "wrong signatures lock nobody out"),
    Switch("unauthorized-401", 1, "P", "N calls get 401, well signed or not", value=1, parts=OPERATIONS),
    Switch("locked-403", 1, "P", "N calls get the 403 of a lock", value=1, parts=OPERATIONS),
)
_QUERY = (
    Switch("span-days", 2, "P", "a window spans N days at most", value=3),
    Switch("query-flow", 2, "P", "every N-th query gets 0300009", value=3),
    _code("query-code", "query"),
    Switch("response-too", 2, "P", "replies carry the legacy object `response`, too"),
    Switch("dashed-id", 2, "S", "replies spell responseId as a dashed UUID"),
    Switch("error-data-null", 2, "P", "resultData of an error is null", choice="error-data", default=True),
    Switch("error-data-empty", 2, "P", "resultData of an error is empty text", choice="error-data"),
    Switch("error-data-absent", 2, "I", "an error has no resultData", choice="error-data"),
    Switch("slow-query", 2, "I", "each query is answered N real seconds late", value=2),
    Switch("query-reset", 2, "I", "N queries are carried out and answered by RST", value=1),
    Switch("first-pass", 2, "I", "the repeated hour is its first pass", choice="repeated-hour", default=True),
    Switch("second-pass", 2, "I", "the repeated hour is its second pass", choice="repeated-hour"),
    Switch("by-the-wall", 2, "I", "rows are compared by wall time: both passes", choice="repeated-hour"),
    Switch("filter-begin", 2, "I", "a window holds rows by their begin", choice="filter", default=True),
    Switch("filter-end", 2, "I", "a window holds rows by their end", choice="filter"),
    Switch("filter-insert", 2, "I", "a window holds rows by when they were written", choice="filter"),
    Switch("bounds-both", 2, "I", "both bounds belong to a window", choice="bounds", default=True),
    Switch("bounds-begin", 2, "I", "the end of a window does not belong to it", choice="bounds"),
    Switch("day-tenant", 3, "I", "a name's day is the tenant's", choice="day", default=True),
    Switch("day-utc", 3, "I", "a name's day is that of UTC", choice="day"),
    Switch("empty-no-rows", 2, "I", "no data: files without rows", choice="empty", default=True),
    Switch("empty-no-entries", 2, "I", "no data: a zip without entries", choice="empty"),
    Switch("empty-no-callback", 2, "I", "no data: no callback and no file", choice="empty"),
    Switch("empty-no-id", 2, "I", "no data: the query succeeds without a responseId", choice="empty"),
    Switch("empty-no-name", 3, "I", "no data: the callback names no file, there is none", choice="empty"),
    Switch("empty-no-zip", 4, "I", "no data: the download succeeds without a zip", choice="empty"),
    Switch("empty-query-code", 2, "I", f"no data: the query gets {NO_DATA}", choice="empty"),
    Switch("empty-download-code", 2, "I", f"no data: the download gets {NO_DATA}", choice="empty"),
)
_CALLBACK = (
    Switch("callback-delay", 3, "I", "a callback comes N s after its file is ready", value=60),
    Switch("callback-repeat", 3, "I", "a callback that was answered comes N times more", value=1),
    Switch("callback-never", 3, "I", "N jobs get no callback", value=_INF),
    Switch("callback-reversed", 3, "I", "a callback lets one later job pass, for N s at most", value=300),
    Switch("callback-early", 3, "I", "a file is ready, its callback answered before the query is"),
    Switch("callback-every", 3, "P", "a failed callback comes again each N s", value=600),
    Switch("callback-tries", 3, "I", "N times at most", value=18),
    Switch("callback-timeout", 3, "I", "its answer may take N real seconds", value=10),
    Switch("callback-answer-lost", 3, "I", "N answers do not arrive", value=1),
    Switch("callback-any-2xx", 3, "P", "an empty body is good, too"),
    Switch("account-absent", 3, "S", "accountId only if it was asked for", choice="account", default=True),
    Switch("account-empty", 3, "S", "accountId is empty if it was not asked for", choice="account"),
    Switch("account-never", 3, "I", "no accountId", choice="account"),
    Switch("to-bare-host", 3, "S", "Host is sent and signed bare", choice="to-host", default=True),
    Switch("to-full-host", 3, "I", "Host is sent and signed with the port", choice="to-host"),
    Switch("to-full-signed-bare", 3, "I", "Host is sent with the port, signed bare", choice="to-host"),
    Switch("to-bare-signed-full", 3, "I", "Host is sent bare, signed with the port", choice="to-host"),
    Switch("path-with-query", 3, "I", "the path is signed with the query in it"),
    Switch("path-slash", 3, "I", "a URL without a path is signed as /", choice="path", default=True),
    Switch("path-empty", 3, "I", "a URL without a path is signed as nothing", choice="path"),
    Switch("callback-host-only", 3, "P", "only Host is signed"),
    Switch("callback-millis", 3, "P", "its timestamp carries milliseconds"),
    Switch("callback-skew", 3, "I", "its timestamp is N real seconds old", value=3600),
    Switch("callback-dashed", 3, "S", "responseId is a dashed UUID"),
    Switch("callback-billname", 3, "S", "the name is in billName", choice="name-field"),
    Switch("callback-filename", 3, "P", "the name is in fileName", choice="name-field"),
    Switch("callback-billfilename", 3, "S", "it is in billFileName", choice="name-field", default=True),
    Switch("callback-forged", 3, "I", "before N callbacks comes one that is signed wrongly", value=1),
    Switch("callback-unknown", 3, "I", "before N callbacks one of a job nobody asked for", value=1),
    Switch("callback-wrong-name", 3, "I", "before N callbacks one of the job with another name", value=1),
)
_DOWNLOAD = (
    Switch("ready-after", 4, "S", "a file is ready N s after its query", value=14),
    Switch("never-ready", 4, "I", "N jobs get neither a file nor a callback", value=_INF),
    Switch("gone-after", 4, "I", "a file is gone N s after it was ready", value=604_800),
    Switch("no-file-11", 4, "P", "no file: 0300011", choice="no-file", default=True),
    Switch("no-file-29", 4, "P", "no file: 0300029", choice="no-file"),
    Switch("download-flow", 4, "P", "every N-th download gets 0300008", value=3),
    _code("download-code", "download"),
    Switch("download-type-lower", 4, "I", "a zip is application/octet-stream", choice="type"),
    Switch("download-type-mixed", 4, "P", "a zip is Application/Octet-stream", choice="type", default=True),
    Switch("download-type-json", 4, "I", "a zip is application/json", choice="type"),
    Switch("slow-body", 4, "I", "half of each body comes N real seconds late", value=2),
    Switch("zip-truncated", 4, "I", "N zips lack their second half, in a whole body", value=1),
    Switch("zip-cut", 4, "I", "N downloads end by RST in mid-body", value=1),
    Switch("zip-bad-crc", 4, "I", "N zips hold a member with a wrong CRC", value=1),
    Switch("zip-bomb", 4, "I", "each zip holds N MiB of blank lines more", value=64),
    Switch("zip-paths", 4, "I", "members are called ../ and /"),
    Switch("zip-other-member", 4, "I", "zips hold a text file nobody documented"),
    _forced("gateway-403", "P", "N calls get 403 with HTML"),
    _forced("gateway-418", "P", "N calls get 418 with HTML"),
    _forced("gateway-429", "P", "N calls get 429 with HTML and Retry-After: 1"),
    _forced("gateway-502", "P", "N calls get 502 with HTML"),
    _forced("gateway-200", "I", "N calls get 200 with HTML"),
    _forced("error-empty", "I", "N calls get 500 with an empty body"),
)
_FILES = (
    Switch("columns-29", 5, "P", "29 and 18 columns: since 23.100", choice="release", default=True),
    Switch("columns-23", 5, "P", "23 and 18 columns: 22.100", choice="release"),
    Switch("columns-18", 5, "P", "18 and 13 columns: before 22.100", choice="release"),
    Switch("columns-more", 5, "I", "N columns nobody documented follow", value=2),
    Switch("header", 5, "I", "a header row"),
    Switch("bom", 5, "I", "files begin with a byte order mark"),
    Switch("crlf", 5, "I", "lines end with CRLF"),
    Switch("blank-lines", 5, "I", "a blank line after every row"),
    Switch("no-final-newline", 5, "I", "the last line has no end"),
    Switch("quote-all", 5, "I", "every field is quoted"),
    Switch("chinese", 5, "I", "agents and paths are Chinese text"),
    Switch("gbk", 5, "I", "the same, and files are GB18030"),
    Switch("quoted-commas", 5, "I", "numbers called hold a comma and quotes, one in N", value=5),
    Switch("quoted-newlines", 5, "I", "numbers called hold a line end, one in N", value=5),
    Switch("file-rows", 5, "I", "N rows in a file at most", value=100),
    Switch("suffix-several", 5, "P", "_{sequence} with several files", choice="suffix", default=True),
    Switch("suffix-always", 5, "P", "_{sequence} with one file, too", choice="suffix"),
    Switch("rows-tenant", 5, "P", "rows tell the tenant's time", choice="row-zone", default=True),
    Switch("rows-utc", 5, "P", "rows tell UTC", choice="row-zone"),
    Switch("shuffled", 5, "I", "rows come in any order"),
    Switch("duplicate-rows", 5, "I", "one row in N stands there twice", value=10),
    Switch("short-rows", 5, "I", "after one row in N one with 5 fields", value=10),
    Switch("broken-rows", 5, "I", "after one row in N one without ids, with a quote in mid-field", value=10),
    Switch("open-quote", 5, "I", "files end in a row whose quote is never closed"),
    Switch("bad-bytes", 5, "I", "after one row in N one that is no text in any charset", value=10),
    Switch("bad-dates", 5, "I", "one call in N has a begin that is no date", value=10),
)
_ROWS = (
    Switch("cdr-delay", 6, "I", "a CDR row is written N s after its leg's end", value=5),
    Switch("recording-period", 6, "P", "recordings are written each full N s", value=60),
    Switch("legs-as-they-end", 6, "I", "a leg is written when it ends", choice="legs", default=True),
    Switch("legs-with-the-call", 6, "I", "all legs are written when the call ends", choice="legs"),
    Switch("renumbered", 6, "I", "a leg is the last (-1) until the next ends", choice="legs"),
    Switch("late-rows", 6, "P", "one row in N is written late", value=10),
    Switch("late-seconds", 6, "P", "by N s", value=3600),
    Switch("changed-rows", 6, "P", "one row in N changes later", value=10),
    Switch("changed-seconds", 6, "P", "by N s", value=1800),
)

SWITCHES = (*_SIGNATURE, *_QUERY, *_CALLBACK, *_DOWNLOAD, *_FILES, *_ROWS)
_BY_NAME = {switch.name: switch for switch in SWITCHES}

# What `streamd simulate huawei_aicc --help` lists: name -> one line.
FAULTS: Mapping[str, str] = {switch.name: switch.describe() for switch in SWITCHES}


def read_faults(written: Iterable[str] = ()) -> Switches:
    """Return the switches that are on; raise ConfigError that names every mistake."""
    return Switches(_BY_NAME, written)
