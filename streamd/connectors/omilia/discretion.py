"""Keep personal data out of a decoded record, before anything else sees it (vendors/omilia.md, section 5).

The operator's own rules are the core's (streamd/privacy.py). The defaults here are those of the contract's
table; which of them hold is the configuration's to say (`OmiliaPrivacy.by_default`). Null stays null: that
nothing was said is no secret. What is of another shape than documented is masked whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from streamd.config import PrivacyConfig
from streamd.connectors.omilia.config import AUDIT_TYPES, OmiliaPrivacy
from streamd.privacy import MASK, Privacy, hashed

Treatment = Callable[[Any], Any]
"""Gives a value, never None, as it may leave; tables and lists are altered in their place."""

KEPT_DIGITS = 4  # of a telephone number: plus and country
ALL = "*"
"""In an allow-list: every key."""
_HARMLESS = "None"  # the sensitivity level of an entity that the application declares to be no secret
_ATTACHED = "incoming_attached_data"
_UTTERANCE = "nlu.semantic_interpretation[].utterance"
_INSTANCE = "nlu.semantic_interpretation[].entities[].instances[].value"
# Anything else before a colon is taken for a part of what somebody said.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_BIOMETRIC = ("vb_enrolment", "vb_verification")
# What leaves of a record of voice biometrics: where it belongs, and nothing of whose voice it is.
_STRUCTURE = frozenset(
    {"message_type", "region", "vb_version", "dialog_id", "session_id", "group_name", "group", "id", "time"}
)


class Discretion:
    """The rules of one connector."""

    def __init__(self, config: OmiliaPrivacy) -> None:
        own = PrivacyConfig(drop=config.drop, mask=config.mask, hash=config.hash, hash_key=config.hash_key)
        self._own = Privacy(own) if own.all_rules() else None
        self._key = config.hash_key.reveal().encode() if config.hash_key is not None else None
        rules = config.by_default()
        self._treated = frozenset((*rules.drop, *rules.mask, *rules.hash))
        self._attached = frozenset((*config.allow_attached_data, *_below(_ATTACHED, config)))
        self._kvps = frozenset(config.allow_kvps)
        self._fields = [(name, treat) for name, treat in self._treatments() if self._holds(name)]
        self._hides_callee = "destination_uri" in self._treated

    def apply(self, record: dict[str, Any]) -> dict[str, Any]:
        """Give the record as the rules leave it; it is altered."""
        if self._own is not None:
            record = self._own.apply(record)
        kind = record.get("message_type")
        if kind in _BIOMETRIC:
            self._apply_to_voice(record, kind)
        elif kind not in AUDIT_TYPES:
            # What nobody documented may hold what a dialog does, under the same names.
            self._apply_to_dialog(record)
        return record

    def _apply_to_voice(self, record: dict[str, Any], kind: str) -> None:
        if kind in self._treated:
            for name, value in record.items():
                if name not in _STRUCTURE and value is not None:
                    record[name] = MASK

    def _treatments(self) -> Iterator[tuple[str, Treatment]]:
        yield "origin_uri", self._number
        yield "hashed_origin_uri", self._pseudonym
        yield "original_utterance", _masked
        yield "transcription", _masked
        yield "nlu", self._nlu
        yield _ATTACHED, lambda value: _allowed(value, self._attached)
        yield "kvps", self._pairs
        yield "events", self._events
        yield "bio", lambda value: None

    def _holds(self, name: str) -> bool:
        return any(path == name or path.startswith((f"{name}.", f"{name}[")) for path in self._treated)

    def _apply_to_dialog(self, record: dict[str, Any]) -> None:
        for name, treat in self._fields:
            value = record.get(name)
            if value is not None:
                record[name] = treat(value)
        if self._hides_callee and str(record.get("direction")).lower() == "outbound":
            callee = record.get("destination_uri")
            if callee is not None:
                record["destination_uri"] = self._number(callee)

    def _number(self, value: Any) -> str:
        if self._key is not None:
            return hashed(value, self._key) or MASK
        return f"{value[:KEPT_DIGITS]}{MASK}" if isinstance(value, str) else MASK

    def _pseudonym(self, value: Any) -> str | None:
        """Hash a hash again: that of a telephone number is soon found by trying all of them."""
        return hashed(value, self._key) if self._key is not None else None

    def _nlu(self, nlu: Any) -> Any:
        if not isinstance(nlu, dict):
            return MASK
        meanings = nlu.get("semantic_interpretation")
        if not isinstance(meanings, list):
            if meanings is not None:
                nlu["semantic_interpretation"] = MASK
            return nlu
        for index, meaning in enumerate(meanings):
            if isinstance(meaning, dict):
                self._meaning(meaning)
            elif meaning is not None:
                meanings[index] = MASK
        return nlu

    def _meaning(self, meaning: dict[str, Any]) -> None:
        if _UTTERANCE in self._treated and meaning.get("utterance") is not None:
            meaning["utterance"] = MASK
        entities = meaning.get("entities")
        if _INSTANCE not in self._treated or not entities:
            return
        if not isinstance(entities, list):
            meaning["entities"] = MASK
            return
        for index, entity in enumerate(entities):
            if isinstance(entity, dict):
                if entity.get("sensitivity_level") != _HARMLESS:
                    _mask_values(entity, "instances")
            elif entity is not None:
                entities[index] = MASK

    def _pairs(self, kvps: Any) -> Any:
        if isinstance(kvps, str):
            return self._event_text(kvps)
        if isinstance(kvps, dict):
            return _allowed(kvps, self._kvps)
        if not isinstance(kvps, list):
            return MASK
        for index, pair in enumerate(kvps):
            if not isinstance(pair, dict):
                kvps[index] = None if pair is None else MASK
            elif not _is_allowed(pair.get("key"), self._kvps):
                for name, value in pair.items():
                    if name not in ("key", "step") and value is not None:
                        pair[name] = MASK
        return kvps

    def _events(self, events: Any) -> Any:
        """Treat a step's list of events, or an end's text of them: both hold key-value pairs again."""
        if isinstance(events, str):
            return self._event_text(events)
        if not isinstance(events, list):
            return MASK
        for index, event in enumerate(events):
            log = event.get("log") if isinstance(event, dict) else None
            if isinstance(log, dict):
                told = log.get("event")
                if told is not None:
                    log["event"] = self._event_text(told) if isinstance(told, str) else MASK
            elif isinstance(event, dict):
                if log is not None:
                    event["log"] = self._event_text(log) if isinstance(log, str) else MASK
            elif event is not None:
                events[index] = self._event_text(event) if isinstance(event, str) else MASK
        return events

    def _event_text(self, text: str) -> str:
        """Treat `name:value,name:value`. What stands without a name belongs to the value before it."""
        kept: list[str] = []
        allowed = False
        for part in text.split(","):
            name, colon, _ = part.partition(":")
            if colon and (not kept or _NAME.fullmatch(name)):
                allowed = _is_allowed(name, self._kvps)
                kept.append(part if allowed else f"{name}:{MASK}" if _NAME.fullmatch(name) else MASK)
            elif allowed:
                kept.append(part)
            elif not kept:
                kept.append(MASK)
        return ",".join(kept)


def _below(path: str, config: OmiliaPrivacy) -> Iterator[str]:
    """Give the keys below `path` about which the operator has said something himself."""
    for named in (*config.keep, *config.mask, *config.hash):
        if named.startswith(f"{path}."):
            yield named.removeprefix(f"{path}.")


def _is_allowed(key: Any, allowed: Collection[str]) -> bool:
    return ALL in allowed or (isinstance(key, str) and key in allowed)


def _allowed(value: Any, allowed: Collection[str]) -> Any:
    """Mask what has a key that nobody has allowed."""
    if not isinstance(value, dict):
        return MASK
    for key, each in value.items():
        if each is not None and not _is_allowed(key, allowed):
            value[key] = MASK
    return value


def _mask_values(entity: dict[str, Any], name: str) -> None:
    instances = entity.get(name)
    if instances is None:
        return
    if not isinstance(instances, list):
        entity[name] = MASK
        return
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict):
            instances[index] = None if instance is None else MASK
        elif instance.get("value") is not None:
            instance["value"] = MASK


def _masked(value: Any) -> str:
    return MASK
