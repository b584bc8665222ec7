"""Hold more rows than anybody needs to look at one by one: they cost nothing until they are exported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from msgspec import Struct

from streamd.simulators.huawei_aicc.records import Identity
from streamd.simulators.huawei_aicc.times import wall
from streamd.simulators.huawei_aicc.vocabulary import CALL, CDR_COLUMNS

_PARTS = ("1", "2", "3", "-1")
_CALLS_A_SECOND = 1000


class Bulk(Struct, frozen=True):
    """`calls` calls of four CDR rows each, a thousand a second from the epoch second `begin` on."""

    account_id: str
    cc_id: str
    developer: str
    calls: int
    begin: int

    @property
    def rows(self) -> int:
        return self.calls * len(_PARTS)

    def identities(self) -> Iterator[Identity]:
        """Yield the identity of every row, in the order of the file."""
        return (
            Identity(CALL, self.cc_id, self._call_id(number), part)
            for number in range(self.calls)
            for part in _PARTS
        )

    def text(self, zone: tzinfo, width: int, line_end: str) -> Iterator[str]:
        """Yield the lines, those of a second together."""
        for first in range(0, self.calls, _CALLS_A_SECOND):
            at = self._begin_of(first)
            lines = "".join(self._line(part, at, zone, width) + line_end for part in _PARTS)
            numbers = range(first, min(first + _CALLS_A_SECOND, self.calls))
            yield "".join(lines.replace("CALL", self._call_id(number)) for number in numbers)

    def _begin_of(self, number: int) -> int:
        return self.begin + number // _CALLS_A_SECOND

    def _call_id(self, number: int) -> str:
        return f"{self._begin_of(number)}-{9_000_000 + number}"

    def _line(self, part: str, at: int, zone: tzinfo, width: int) -> str:
        begin, end = wall(at, zone), wall(at + 60, zone)
        last = part == "-1"
        columns = {
            "developer": self.developer,
            "account_id": self.account_id,
            "cc_id": self.cc_id,
            "agent_id": "1001" if last else "",
            "call_id": "CALL",
            "caller_no": "13800000000",
            "callee_no": "4001",
            "call_begin": begin,
            "call_end": end,
            "device_type": "2" if last else "3",
            "device_no": f"80{part}",
            "call_type": "0",
            "release_cause": "531" if last else "0",
            "call_id_num": part,
            "vdn_id": "1",
            "leave_reason": "15",
            "media_type": "5",
        }
        return ",".join(columns.get(name, "") for name in CDR_COLUMNS[:width])
