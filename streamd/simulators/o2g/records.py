"""Write the communication log and count missed calls (vendors/o2g.md section 2.3, unifiedComLog)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import Party, User


class Records:
    """The records of the calls that are under way, per user; a record that is over is not kept."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._open: dict[str, dict[str, tuple[User, dict[str, Any]]]] = {}

    def begin(self, ref: str, parties: Sequence[Party]) -> None:
        """Open a record for each user among `parties`, the caller first."""
        if "unifiedComLog" not in self._exchange.asked_for:
            return
        begun = _now()
        participants = [
            {"role": "CALLEE" if place else "CALLER", "identity": each.party()}
            for place, each in enumerate(parties)
        ]
        for user in (each for each in parties if isinstance(each, User)):
            user.records += 1
            record = {
                "recordId": int(user.number) * 1_000_000 + user.records,
                "comRef": ref,
                "participants": participants,
                "beginDate": begun,
            }
            self._open.setdefault(ref, {})[user.login] = (user, record)
            self._tell("OnComRecordCreated", user, record)

    def answer(self, ref: str) -> None:
        for user, record in self._open.get(ref, {}).values():
            record["convDate"] = _now()
            record["participants"] = [{**each, "answered": True} for each in record["participants"]]
            self._tell("OnComRecordModified", user, record)

    def move(self, ref: str, after: str, by: User, to: User) -> None:
        """Close the record of `by`, who transfers; what is left goes on as `after`."""
        records = self._open.pop(ref, {})
        if by.login in records:
            user, record = records.pop(by.login)
            self._tell("OnComRecordModified", user, {**record, "endDate": _now()})
        if records:
            self._open[after] = records

    def end(self, ref: str, *, answered: bool) -> None:
        """Close the records of `ref`; callees who did not answer have missed a call."""
        for user, record in self._open.pop(ref, {}).values():
            self._tell("OnComRecordModified", user, {**record, "endDate": _now()})
            if not answered and record["participants"][0]["identity"]["id"].get("loginName") != user.login:
                user.missed += 1
                self.summarise(user)

    def summarise(self, user: User) -> None:
        event = {
            "eventName": "OnEventSummaryUpdated",
            "loginName": user.login,
            "eventSummary": user.summary(),
        }
        self._exchange.emit("eventSummary", user.login, event)

    def clear(self, user: User, what: str) -> None:
        """Tell that all records of `user` are `Ack`, `UnAck` or `Deleted`: recordIds is absent."""
        event = {"eventName": f"OnComRecords{what}", "loginName": user.login}
        self._exchange.emit("unifiedComLog", user.login, event)

    def _tell(self, name: str, user: User, record: dict[str, Any]) -> None:
        event = {"eventName": name, "loginName": user.login, "record": record}
        self._exchange.emit("unifiedComLog", user.login, event)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
