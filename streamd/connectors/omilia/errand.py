"""What an export is for, and how far it has come: the value that is kept of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from streamd.pull.windows import Window


class Errand(Struct, frozen=True):
    """What is to be exported, how far that has come, and what came of it.

    `rest`: the slices that are not done, the first under way in export `job`, which was asked for as number
    `attempt` at `submitted_at` and seen READY at `ready_at`; `page` of its `pages` is next. Tries up to
    number `given_up` are not used any more. `published` by message type.
    """

    name: str
    types: list[str]
    rest: list[Window]
    slices: int
    job: str | None = None
    attempt: int = 0
    given_up: int = 0
    submitted_at: datetime | None = None
    ready_at: datetime | None = None
    pages: int | None = None
    page: int = 1
    published: dict[str, int] = {}
    known: int = 0
    bad: int = 0
    unread: int = 0
    """Files and pages that could not be read for good."""
    gaps: dict[str, str] = {}
    """The gaps that it is to heal, with their data types; none for one by hand and for an audit."""
    until: dict[str, datetime] = {}
    """Up to which hour each of them is exported then."""
    kept_from: datetime | None = None
    """Before this the platform keeps nothing any more, and some of the gaps begin earlier."""

    @property
    def done(self) -> float:
        """Say how much of it is done, 0 to 1."""
        if not self.rest or not self.slices:
            return 1.0
        of_slice = (self.page - 1) / self.pages if self.pages else 0.0
        return (self.slices - len(self.rest) + of_slice) / self.slices

    @property
    def total(self) -> int:
        """Count the events that it published."""
        return sum(self.published.values())

    @property
    def words(self) -> str:
        """Say what is under way, or what came of it."""
        if not self.rest:
            return f"{self.total} published, {self.known} known already"
        window = self.rest[0]
        hours = f"{window.begin:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"
        if self.ready_at is None:
            return f"{hours}: waiting for the export"
        if self.pages is None:
            return f"{hours}: page {self.page} of ?"
        return f"{hours}: page {min(self.page, self.pages)} of {self.pages}"


NO_JOB: Mapping[str, object] = {"job": None, "submitted_at": None, "ready_at": None, "pages": None, "page": 1}
"""The fields of an errand whose slice is not under way."""
