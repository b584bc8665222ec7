"""Apply the connector's privacy rules to what a reply tells, before anything else sees it."""

from __future__ import annotations

from typing import cast

from streamd.config import PrivacyConfig
from streamd.connectors.oracle_isr.wire import Tree
from streamd.privacy import Privacy


class Discretion:
    """The rules. They name fields as details do, lists without the wrapper of each item: `ani`,
    `customDataSets[].value`, `segments[].siprecDataSets[].participants[].aor`."""

    def __init__(self, config: PrivacyConfig) -> None:
        self._privacy = Privacy(config)

    def apply(self, tree: Tree) -> Tree:
        """Give a recording or a match as the rules leave it."""
        return cast("Tree", self._privacy.apply(tree)) if self._privacy.rules else tree

    def is_about(self, field: str) -> bool:
        """Tell whether a rule alters or drops a field of a recording."""
        return self._privacy.for_field(field) is not None
