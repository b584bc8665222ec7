"""A vendor costs nothing where it is not configured."""

from __future__ import annotations

import re
from pathlib import Path

from streamd.registry import all_types
from tests.daemon import DaemonProcess

_AVAYA = """
[connectors.emea]
type = "avaya"
base_url = "http://127.0.0.1:9"
account_id = "ABCDEF"
client_id = "streamd"
client_secret = { env = "AVAYA" }
appkey = { env = "AVAYA" }
measure_producers = ["Agent_itd_1.0.0"]
"""
_OF_OTHERS = {"cryptography", "jwt", "lxml"}


def test_each_vendor_has_the_name_of_its_folder() -> None:
    assert [vendor.name for vendor in all_types().values()] == list(all_types())


async def test_a_daemon_imports_the_vendors_that_are_configured_and_no_others(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, _AVAYA, ["127.0.0.1:9"], "t")
    daemon.start(AVAYA="simulated", PYTHONPROFILEIMPORTTIME="1")
    try:
        await daemon.logged("started")
    finally:
        daemon.close()
    imported = re.findall(r"^import time:.*\| +(\S+)$", daemon.log.read_text(), re.MULTILINE)
    vendors = {name.split(".")[2] for name in imported if name.startswith("streamd.connectors.")}
    assert vendors == {"avaya"}
    assert not _OF_OTHERS & set(imported)
