"""Apply the connector's privacy rules to a decoded message, before anything else sees it."""

from __future__ import annotations

from streamd.connectors.avaya.wire import MeasureMessage, OddMessage
from streamd.privacy import Privacy

_FIELDS = {
    "account_id": "accountId",
    "event_source_id": "eventSourceId",
    "measure_producer_id": "measureProducerId",
    "keys": "keys",
    "measures": "measures",
}


class Discretion:
    """The rules, compiled for the fields of a measure message; rules name them as Avaya spells them."""

    def __init__(self, privacy: Privacy) -> None:
        rules = {name: privacy.for_field(wire_name) for name, wire_name in _FIELDS.items()}
        self._rules = [(name, rule) for name, rule in rules.items() if rule is not None]
        self._privacy = privacy

    @property
    def rules(self) -> bool:
        """Tell whether there is any rule."""
        return self._privacy.rules

    def apply(self, message: MeasureMessage) -> None:
        """Alter `message` as the rules want it."""
        for name, rule in self._rules:
            setattr(message, name, rule(getattr(message, name)))
        if isinstance(message, OddMessage) and message.unknown is not None:
            message.unknown = self._privacy.apply(message.unknown)
