"""streamd's own events: connector life cycle and progress, gaps, dead letters (INTERFACE.md, "Events")."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from streamd.model import CONNECTORS, CONNECTORS_STATE, DEAD_LETTER, GAPS, Stream, Time

ConnectorState = Literal["connecting", "snapshot", "live", "degraded", "lost", "refused", "parked", "stopped"]
LifeCycle = Literal[
    "connected",
    "snapshot_begun",
    "snapshot_completed",
    "live",
    "lost",
    "recovered",
    "refused",
    "parked",
    "stopped",
]


class LifeCycleData(Struct, frozen=True, omit_defaults=True):
    """A moment in a connector's life; `details` says what is particular to it (for example the rule that
    ended a snapshot)."""

    state: ConnectorState
    session: str | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Position(Struct, frozen=True):
    """How far a stream has been accepted: `sequence` is 20 digits, zero-padded."""

    epoch: str
    sequence: str


class SessionProgress(Struct, frozen=True):
    """How one session of a connector is."""

    state: ConnectorState
    reason: str | None


class ProgressData(Struct, frozen=True):
    """What a connector has done so far; with it a consumer knows that nothing is missing from the tail.

    `complete_through`: all that the vendor handed over before this instant is on Kafka, in its topic or as
    its dead letter, or inside a gap. `last`: stream -> the last event accepted of it.
    """

    state: ConnectorState
    reason: str | None
    complete_through: Time | None
    last: dict[str, Position]
    open_gaps: int
    sessions: dict[str, SessionProgress]


class GapData(Struct, frozen=True, rename={"from_": "from"}):
    """A stretch of time in which events may have been missed, and what became of it.

    `count`: how many, left out where nobody knows.
    """

    gap_id: str
    scope: list[str]
    from_: Time | None
    to: Time | None
    cause: str
    events: Literal["lost", "pending", "recovered"]
    state: Literal["stale", "restored"] | None
    healed_by: Literal["snapshot", "redelivery", "backfill"] | None
    healed_at: Time | None
    count: int | UnsetType = UNSET


class AcceptedEvent(Struct, frozen=True):
    """Which accepted event it was that Kafka refused."""

    source: str | None
    epoch: str | None
    sequence: str | None
    id: str | None
    topic: str


class DeadLetterData(Struct, frozen=True, omit_defaults=True):
    """What could not be decoded, or what Kafka refused for good. The payload's bytes are as they came, at
    most 256 KiB of them, or withheld where privacy rules are set."""

    reason: str
    origin: str
    payload_bytes: int
    payload_sha256: str
    payload_base64: str | None = None
    truncated: bool = False
    withheld: bool = False
    of: AcceptedEvent | None = None


def life_cycle_type(action: LifeCycle) -> str:
    """Give the event type of a moment."""
    return f"streamd.connector.{action}"


PROGRESS = "streamd.connector.progress"
GAP_OPENED, GAP_CLOSED, GAP_HEALED = "streamd.gap.opened", "streamd.gap.closed", "streamd.gap.healed"
DEAD_LETTER_WRITTEN = "streamd.dead_letter.written"

SCHEMAS: dict[str, type] = {
    **{life_cycle_type(action): LifeCycleData for action in LifeCycle.__args__},  # type: ignore[attr-defined]
    PROGRESS: ProgressData,
    GAP_OPENED: GapData,
    GAP_CLOSED: GapData,
    GAP_HEALED: GapData,
    DEAD_LETTER_WRITTEN: DeadLetterData,
}
STREAMS_OF: dict[str, tuple[Stream, ...]] = {
    **{kind: (CONNECTORS,) for kind in SCHEMAS if kind.startswith("streamd.connector.")},
    PROGRESS: (CONNECTORS, CONNECTORS_STATE),
    **dict.fromkeys((GAP_OPENED, GAP_CLOSED, GAP_HEALED), (GAPS,)),
    DEAD_LETTER_WRITTEN: (DEAD_LETTER,),
}
