"""Simulate Huawei AICC's CC-FS: exports of CDRs and recording indexes, and the callbacks that announce them.

By default it does what the documents say (vendors/huawei_aicc.md). Each undocumented choice and each fault is
a named switch in `FAULTS` with its section and mark; answers that hold unless another is named are marked as
the default there. It shares no code with the connector, and sends nothing that the real server lacks.

Choices that no document settles and that have no switch of their own, all inferred (I):

- Which code up to 0300010 means which bad field, and all texts of codes. An account of another developer is
  0300018, one that nobody knows 0300026. Text that is too long is refused; empty text counts as left out.
- Begin, end and span are compared as wall times; only `now` is compared in time. Both bounds may be `now`.
- Wrong signatures count within 10 minutes, and a good one forgets them. A lock is not prolonged by trying.
- Only the three rules of a name are checked: letters, digits, `.`, `-`, `_`, 49 characters at most.
- A file holds what was written when it got ready. It is rendered anew for each download.
- A download ends its connection. Responses carry the Date of the simulated clock.
- A row is dated by its begin: its first time, of recordings `call_begin`. Rows of a file are in the order of
  their writing, without a header; `developer` is the AK.
- IVR rows have `call_*` times only, queue rows `wait_*` only; `release_cause` is 0 but on the last row.
- Timestamps of signatures are real time; those of the client may be of either clock.
- A callback is a connection of its own. A forged one is signed with another key.
- Call ids repeat with the `seed`; the ids of jobs never do.

What stands for no row has ``odd`` in its first field. A judge finds every call with its rows in
`HuaweiSimulator.calls`, what each zip held in `exports`, what each callback said in `callbacks`; `identify`
names a row as both do.
"""

from streamd.simulators.huawei_aicc.bulk import Bulk
from streamd.simulators.huawei_aicc.calls import Call
from streamd.simulators.huawei_aicc.cli import run
from streamd.simulators.huawei_aicc.faults import FAULTS
from streamd.simulators.huawei_aicc.jobs import Announcement, Job, Order
from streamd.simulators.huawei_aicc.log import CallbackEntry, ExportEntry, RequestEntry
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import Identity, Row, Version, identify
from streamd.simulators.huawei_aicc.simulator import HuaweiSimulator, open_huawei_simulator

__all__ = [
    "FAULTS",
    "Announcement",
    "Bulk",
    "Call",
    "CallbackEntry",
    "ExportEntry",
    "HuaweiOptions",
    "HuaweiSimulator",
    "Identity",
    "Job",
    "Order",
    "RequestEntry",
    "Row",
    "Version",
    "identify",
    "open_huawei_simulator",
    "run",
]
