"""Spell the words of the API (vendors/omilia.md sections 2, 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

START, STEP, END = "dialog_start", "dialog_step", "dialog_end"
AUDIT, ENROLMENT, VERIFICATION = "audit_events", "vb_enrolment", "vb_verification"
DATA_TYPES = (START, STEP, END, AUDIT, ENROLMENT, VERIFICATION)

# The REST operations that a switch can be narrowed to with `name:operation`.
OPERATIONS = (
    "token",
    "refresh",
    "logout",
    "create",
    "list",
    "delete",
    "job-create",
    "job-list",
    "job-metadata",
    "job-data",
)

# What a job may ask for -> the message types that it then holds: the seed's words, and those of newer pages.
LEGACY_TYPES: Mapping[str, Sequence[str]] = {
    "Dialog Data": (STEP, START, END),
    "Dialog Step": (STEP,),
    "Dialog Start": (START,),
    "Dialog End": (END,),
}
V2_TYPES: Mapping[str, Sequence[str]] = {
    "All": DATA_TYPES,
    "ALL": DATA_TYPES,
    "audit": (AUDIT,),
    **{each: (each,) for each in DATA_TYPES},
}
