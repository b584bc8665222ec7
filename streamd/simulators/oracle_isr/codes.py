"""List the return codes with a message each (vendors/oracle_isr.md section 6, seed "Return Codes")."""

from __future__ import annotations

from collections.abc import Mapping

ACK, NACK, NOT_AUTHORIZED, PARAMETER_MISSING, INVALID_COMMAND = 0, -1, 2, 27, 5
NO_SUCH_PARAMETER = 3
NOT_FOUND, NOTHING_BY_UCID = 19, 26

MESSAGES: Mapping[int, str] = {
    0: "ACK",
    -1: "NACK",
    1: "Feature Not Licensed",
    2: "Host Not Authorized",
    3: "Parameter Missing",
    4: "Missing Command - command parameter is required",
    5: "Invalid Command",
    6: "Missing Parameter - ANI parameter is required",
    7: "Missing Parameter - DNIS parameter is required",
    8: "Missing Parameter - channelId parameter is required",
    9: "Missing Parameter - fileId parameter is required",
    10: "Error establishing database connection",
    11: "Error retrieving file info for ANI 1001 DNIS 2002 at timestamp of 2024-05-01 06:37:27",
    12: "Recording is not paused, cannot unpause recording.",
    13: "Recording is started by another session or not started, cannot end recording.",
    14: "Invalid Parameter for RecordEnd - fileId not found from recording index.",
    15: "Error Indexing for RecordEnd - java.sql.SQLException: simulated",
    16: "Error Generating Token",
    17: "Couldn't find route information",
    18: "ANI and DNIS are required for command SaveRecording",
    19: "No recording found with supplied criteria",
    20: "RSS could not successfully perform the operation",
    21: "Cannot change name of file while recording is in progress",
    22: "Cannot rename a file that is set to be deleted",
    23: "Could not convert file to playable format",
    24: "Timed out waiting for file conversion",
    25: "Conversion already initiated by another user, please try again later",
    26: "No session or file was found matching the provided UCID",
    27: "Missing Parameter - recordingId parameter is required",
}
ALL_MATCHES = "Selection criteria insufficient to determine recording. Returning all matches."
CUT_MATCHES = (
    "Selection criteria insufficient to determine recording. There were more matches than maxListLength, "
    "please refine your search if the entry you require is not in this list."
)
RENAMED = (
    "This file has been renamed by the recorder, please use the following new filename for future "
    "commands: {}"
)
BAD_LOGIN = "Login failed"
EXPIRED_PASSWORD = "Your password has expired"  # noqa: S105 - a message
BAD_TOKEN = "Invalid or expired token"  # noqa: S105 - a message
