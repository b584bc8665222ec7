"""Simulate Omilia in all three roles: IAM and exports-api, the OAuth2 client, the pusher of records.

By default it does what the documents say (vendors/omilia.md), and where they say nothing, what section 9
there assumes. Each undocumented choice and each fault is a named switch in `FAULTS` with its row and mark;
answers that hold unless another is named are marked as the default there. It shares no code with the
connector or the transport, and sends nothing that the real platform lacks.

Choices that no document settles and that have no switch of their own, all inferred (I):

- IAM takes forms only (the seed's sample sends JSON: 400), wrong credentials are 401 `invalid_grant`. A
  personal access token is a Bearer. exports-api: 401 without a good token, then 403 for another group, then
  429 of the bucket, 400 for what breaks a rule, 404 for what does not exist; each with `{"message"}`.
- Only the rules that the seed has are applied to subscriptions. A custom header with a slash is taken, and
  can then not be sent: each push fails. A `token_path` that is no URL is taken, too.
- The bucket holds 600 requests a minute, counted from the full minute, for calls that passed authentication.
  The five zips are counted over any minute.
- A call to the client may take 10 s (real). A token is used until 30 s before its end, half of its life at
  most.
- An idle stream that has dropped batches tries the oldest every 10 minutes; after any failed push it rests 20
  ms.
- The 24 h are counted back from when reconciliation begins, by when a record was made.
- What a subscription had not delivered when it was deleted or vanished is lost to streaming.
- Each state of a job lasts 2 s; an EXPIRED one is a 404, a page behind the last a 400. A job without records
  has no files; its page 1 is an empty zip. Files are `<type>/<hour>-<n>.json`. Jobs are listed newest first.
- Zips come in HTTP chunks and end the connection.
- Responses carry the Date of the simulated clock.
- `message_type` of audit events is `audit_events`, however the data type is spelt; their content is invented.
- Ids repeat with the `seed`: who restarts a simulator for the same client gives it another.

What no record of the truth is has an `id` that begins with ``odd-``, or none. A judge finds every record and
its fate in `OmiliaSimulator.records`, each attempt to push in `deliveries`; `identify` names a record as both
do.
"""

from streamd.simulators.omilia.cli import run
from streamd.simulators.omilia.faults import FAULTS
from streamd.simulators.omilia.log import DeliveryEntry, RequestEntry, TokenEntry
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.records import Fate, Identity, Record, identify
from streamd.simulators.omilia.simulator import OmiliaSimulator, open_omilia_simulator

__all__ = [
    "FAULTS",
    "DeliveryEntry",
    "Fate",
    "Identity",
    "OmiliaOptions",
    "OmiliaSimulator",
    "Record",
    "RequestEntry",
    "TokenEntry",
    "identify",
    "open_omilia_simulator",
    "run",
]
