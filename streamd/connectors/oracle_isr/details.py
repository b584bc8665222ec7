"""Read one recording in full, by its own id or, before version 6.4, by its call (section 4)."""

from __future__ import annotations

from streamd.connectors.oracle_isr.discretion import Discretion
from streamd.connectors.oracle_isr.face import BadQuery, Face, NotNow, Turn
from streamd.connectors.oracle_isr.wire import Tree, live_id, recording_id, text_of
from streamd.connectors.oracle_isr.zone import Zone
from streamd.pull.windows import Window

# In the order of trust; the names that a search has for them.
_CALL_IDS = (("ingressCallId", "ingressCallId"), ("isrUcid", "isrUcid"))
_NUMBERS = (("ani", "from"), ("dnis", "to"))


class Details:
    """Reads recordings in full. What the server takes as a criterion is learned from its replies."""

    def __init__(self, face: Face, zone: Zone, discretion: Discretion) -> None:
        self._face = face
        self._zone = zone
        self._discreet = discretion.apply
        # What the rules have altered is nothing that the server knows.
        self._numbers = [(field, name) for field, name in _NUMBERS if not discretion.is_about(field)]
        self._by_id = True

    async def of(self, tree: Tree, start: Window | None, turn: Turn) -> Tree | None:
        """Read the finished recording that `tree` is about; None: there is none.

        `start`: where its start lies. Raises as `Face.search` does.
        """
        wanted = recording_id(tree)
        if self._by_id and wanted is not None:
            found = await self._ask({"recordingId": wanted}, wanted, turn)
            if found is not None or self._by_id:
                return found
        return await self._ask(self._by_call(tree, start), wanted, turn)

    async def candidates(self, tree: Tree, start: Window | None, turn: Turn) -> list[Tree]:
        """List the finished recordings of the call that `tree` is about, in full or short."""
        criteria = {
            "inProgress": "false",
            "maxListLength": str(self._face.list_length),
            **self._by_call(tree, start),
        }
        reply = await self._face.search(criteria, turn)
        found = [reply.recording] if reply.recording is not None else list(reply.matches or ())
        return [self._discreet(each) for each in found]

    async def running(self, tree: Tree, turn: Turn) -> Tree | None:
        """Read a running recording by the id that a list has of it; None: the server does not give it so."""
        wanted = live_id(tree)
        name = "tmpRecordingId" if "tmpRecordingId" in tree else "recordingId"
        try:
            reply = await self._face.search({"inProgress": "true", name: wanted or ""}, turn)
        except BadQuery:
            return None
        found = reply.recording
        return self._discreet(found) if found is not None and live_id(found) == wanted else None

    async def _ask(self, criteria: dict[str, str], wanted: str | None, turn: Turn) -> Tree | None:
        by_id = "recordingId" in criteria
        try:
            reply = await self._face.search({"inProgress": "false", **criteria}, turn)
        except BadQuery:
            if not by_id:
                raise
            self._by_id = False
            return None
        found = reply.recording
        if found is not None and recording_id(found) == wanted:
            return self._discreet(found)
        if by_id and (found is not None or reply.matches):
            self._by_id = False  # it is no criterion here: what came is not what was asked for
            return None
        if reply.matches:
            raise NotNow("recordings of one call that cannot be told apart")
        return None

    def _by_call(self, tree: Tree, start: Window | None) -> dict[str, str]:
        call = {to: value for name, to in _CALL_IDS if (value := text_of(tree, name))}
        # One of the two is enough, and the other may be missing on the server's side.
        criteria = dict(list(call.items())[:1])
        if start is not None:
            criteria["earliestStart"] = self._zone.lower(start.begin)
            criteria["latestStart"] = self._zone.upper(start.end)
        criteria |= {to: value for name, to in self._numbers if (value := text_of(tree, name))}
        return criteria
