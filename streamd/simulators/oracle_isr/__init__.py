"""Simulate Oracle's Interactive Session Recorder: FACE, and the notifications of its external events.

By default it does what the documents say (vendors/oracle_isr.md), and where they say nothing, what is listed
here. Each undocumented choice and each fault is a named switch in `FAULTS`; answers that hold unless another
is named are marked as the default there. It shares no code with the connector or the transport.

Choices that no document settles and that have no switch of their own, all inferred (I):

- A login that cannot be read, or whose user is unknown, is the generic error, code -1. Five wrong passwords
  in a row lock the account until it is unlocked. `expirationSeconds` that is no number counts as not given.
- HTTP is 200 for everything that FACE itself says, 404 with Tomcat's page for other paths. Commands of
  `audioRecording` other than `details` are code 5. A missing token is code 27, what no criterion is narrows
  nothing, a bound or a `maxListLength` that cannot be read is code -1 with its name.
- Times may have a fraction when they are asked for, too; bounds compare to the millisecond, `start` and
  `end` alone to the second. Bounds on the end match no live recording; those of a segment search are for the
  segment.
- Who asks for a file by its old name gets code 0 with the new one in the message. Between its end and the
  archiver a recording keeps `.rpdd`, no directory and `conversionStatus` 1.
- Both recordings of a call have its isrUcid. SIPREC times are 300 days early, as in the seed.
- An answer is made when it is asked for, also if it is slow; its Date is that of its sending.
- Notifications go out one after the other over one connection, are not tried again, and wait 5 s (real) for
  an answer; their parameters are `event`, `ucid` and `calledAors`, their events spelt as ISR spells them.
- Ids repeat with the `seed`: who restarts a simulator for the same client gives it another.

A judge finds every recording, with its life and what was told about it, in `OracleIsrSimulator.recordings`,
what each answer gave in `replies`, and each notification in `notifications`.
"""

from streamd.simulators.oracle_isr.cli import run
from streamd.simulators.oracle_isr.faults import FAULTS
from streamd.simulators.oracle_isr.life import Caller
from streamd.simulators.oracle_isr.log import LoginEntry, NotificationEntry, ReplyEntry
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import Fate, Recording, Revision, Segment
from streamd.simulators.oracle_isr.simulator import OracleIsrSimulator, open_oracle_isr_simulator

__all__ = [
    "FAULTS",
    "Caller",
    "Fate",
    "LoginEntry",
    "NotificationEntry",
    "OracleIsrOptions",
    "OracleIsrSimulator",
    "Recording",
    "ReplyEntry",
    "Revision",
    "Segment",
    "open_oracle_isr_simulator",
    "run",
]
