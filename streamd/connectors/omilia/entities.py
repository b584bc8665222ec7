"""Omilia's records as they are published (vendors/omilia.md, section 5); pure data.

Names are Omilia's. What nobody documented, or what is of another type than documented, stands in `extra`.
`group` is what Omilia calls a conversation, no tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, cast, get_args, get_origin

from msgspec import defstruct
from msgspec.structs import fields

from streamd.lenient import Entity, Reader
from streamd.model import Time

Number = int | float
E = TypeVar("E", bound=Entity)


class App(Entity):
    """The application; `version` grows."""

    name: str | None = None
    version: int | str | None = None


class Diamant(Entity):
    """The dialog engine that ran the dialog."""

    id: str | None = None
    region: str | None = None
    version: str | None = None


class Asr(Entity):
    """The session at the speech recogniser."""

    mrcp_session_id: str | None = None


class Flow(Entity):
    """Which part of the application a dialog is; in a root `type` is Flow and `parent_step` 0."""

    id: int | str | None = None
    account_id: int | str | None = None
    name: str | None = None
    type: str | None = None
    uuid: str | None = None
    diamant_app_name: str | None = None
    organization: str | None = None
    reportable: bool | None = None
    parent_name: str | None = None
    parent_id: int | str | None = None
    parent_step: int | None = None
    root_step: int | None = None
    path: list[Any] | None = None
    path_app_ids: list[Any] | None = None
    ocp_group_name: str | None = None
    ocp_organization_id: int | str | None = None


class Intent(Entity):
    """What the caller meant; `confidence` is 0 to 100."""

    name: str | None = None
    status: str | None = None
    confidence: Number | None = None


class Instance(Entity):
    """One value of an entity, and where in the utterance it was said."""

    value: Any = None
    confidence: Number | None = None
    begin: Number | None = None
    end: Number | None = None


class NamedEntity(Entity):
    """What was recognised in an utterance."""

    name: str | None = None
    sensitivity_level: str | None = None
    instances: list[Instance] | None = None


class Interpretation(Entity):
    """One meaning of an utterance."""

    utterance: str | None = None
    confidence: Number | None = None
    intent: Intent | None = None
    entities: list[NamedEntity] | None = None


class Nlu(Entity):
    """What was understood."""

    result_type: str | None = None
    result_count: int | None = None
    work_flow_id: int | str | None = None
    nlu_app: str | None = None
    semantic_interpretation: list[Interpretation] | None = None


class Action(Entity):
    """What the application did; `timeout` and `prompt_duration` in milliseconds."""

    name: str | None = None
    type: str | None = None
    subtype: str | None = None
    prompt: str | None = None
    tag: str | None = None
    timeout: Number | None = None
    prompt_duration: Number | None = None


class Kvp(Entity):
    """A key and a value that the application reported at a step."""

    key: str | None = None
    value: Any = None
    step: int | None = None


class Record(Entity):
    """What all records have.

    `conversation_id` is `group`. `dedup_basis` says what its event's id was made of: `id`, `step`,
    `voiceprint` or `content`. `sentinels`: words that Omilia writes where there is no value, by their path;
    the fields themselves are null.
    """

    own: ClassVar[frozenset[str]] = frozenset(
        {"extra", "conversation_id", "dialog_id", "is_root", "ended_at", "dedup_basis", "sentinels"}
    )

    message_type: str = ""
    dedup_basis: str = ""
    conversation_id: str | None = None
    sentinels: dict[str, str] | None = None
    id: str | None = None
    group: str | None = None
    time: Time | None = None


class Dialog(Record):
    """What the records of a dialog have. `is_root`: it is the whole call, not a part of it; null: unknown."""

    dialog_id: str | None = None
    is_root: bool | None = None
    session_id: str | None = None
    test_flag: bool | None = None
    channel: str | None = None
    app: App | None = None
    diamant: Diamant | None = None
    flow: Flow | None = None


class DialogStarted(Dialog):
    """A dialog has begun at `time`. `origin_uri` is who calls, `destination_uri` who is called."""

    origin_uri: str | None = None
    hashed_origin_uri: str | None = None
    destination_uri: str | None = None
    connection_id: str | None = None
    device_type: str | None = None
    direction: str | None = None
    incoming_attached_data: dict[str, Any] | None = None
    asr: Asr | None = None


class DialogStep(Dialog):
    """One turn of a dialog."""

    step: int | str | None = None
    locale: str | None = None
    input_modality: str | None = None
    original_utterance: str | None = None
    transcription: str | None = None
    nlu: Nlu | None = None
    action: Action | None = None
    bio: dict[str, Any] | None = None
    events: list[Any] | str | None = None


class DialogEnded(Dialog):
    """A dialog has ended at `ended_at`; `time` is when it began, `duration` in milliseconds.

    `end_type`: FAR_HUP (the caller hung up), NEAR_HUP, TRANSFER, NORMAL. The last four fields are those of
    P-CHAN's dialog metadata.
    """

    ended_at: Time | None = None
    end_type: str | None = None
    duration: Number | None = None
    events: list[Any] | str | None = None
    kvps: list[Kvp] | None = None
    no_inputs: int | None = None
    no_matches: int | None = None
    app_version: int | str | None = None
    dialog_direction: str | None = None


class Other(Record):
    """A record of any other type: all that is not common stands in `extra`, as it came."""

    own: ClassVar[frozenset[str]] = Record.own - {"dialog_id"}

    dialog_id: str | None = None


PARTS = (App, Diamant, Asr, Flow, Intent, Instance, NamedEntity, Interpretation, Nlu, Action, Kvp)
RECORDS = (DialogStarted, DialogStep, DialogEnded, Other)


def _names() -> Iterator[str]:
    for entity in (*PARTS, *RECORDS):
        yield from (each.name for each in fields(entity))


READER = Reader(_names())
"""Reads whatever is sent; Omilia spells every name as it is published."""


def strict(entity: type[E]) -> type[E]:
    """Make the same Struct that takes nothing but what is documented: a usual record is read in one step."""
    made = defstruct(
        entity.__name__,
        [(each.name, _strict_type(each.type), each.default) for each in fields(entity)],
        bases=(entity,),
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    return cast("type[E]", made)


def _strict_type(wanted: Any) -> Any:
    if get_origin(wanted) in (Union, UnionType):
        return Union[tuple(map(_strict_type, get_args(wanted)))]  # noqa: UP007 - made at run time
    if get_origin(wanted) is list:
        return list[_strict_type(get_args(wanted)[0])]  # type: ignore[misc]
    return _STRICT_PARTS.get(wanted, wanted)


_STRICT_PARTS: dict[Any, Any] = {}
for _part in PARTS:
    _STRICT_PARTS[_part] = strict(_part)
