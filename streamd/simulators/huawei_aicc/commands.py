"""Do to the simulated call centre what a test asks for; only `settle` and the callbacks wait."""

from __future__ import annotations

from typing import Any

from streamd.simulators.huawei_aicc.bulk import Bulk
from streamd.simulators.huawei_aicc.callbacks import call_back, forged, unknown
from streamd.simulators.huawei_aicc.calls import Call, Wish
from streamd.simulators.huawei_aicc.records import Identity, Row
from streamd.simulators.huawei_aicc.service import Service
from streamd.simulators.huawei_aicc.zips import row_zone

_ROWS_A_CALL = 4
_SOON = 60.0  # seconds: no late row


def set_rate(service: Service, rate: float) -> None:
    """Let calls begin by themselves, for `rate` rows a real second; 0: none."""
    service.rate = rate
    service.wake()


def call(service: Service, ago: float = 0.0, **wish: Any) -> Call:
    """Let a whole call have ended `ago` seconds before now, with its rows written (late ones apart)."""
    ended = int(service.clock.now() - ago)
    made = service.calls.make(ended, Wish(**wish), end=ended)
    if not ago:
        _write_at(made, service.clock.now())
    return service.add(made)


def begin_call(service: Service, **wish: Any) -> Call:
    """Let a call begin now; its rows are written as it goes on."""
    return service.add(service.calls.make(int(service.clock.now()), Wish(**wish)))


def history(service: Service, hours: float, calls: int) -> list[Call]:
    """Let `calls` calls have ended, evenly over the last `hours`."""
    apart = hours * 3600 / max(1, calls)
    return [call(service, (number + 0.5) * apart) for number in reversed(range(calls))]


def bulk(service: Service, rows: int, ago: float = 600.0) -> Bulk:
    """Let calls of `rows` CDR rows in all (to the next 4) have begun `ago` seconds before now."""
    options = service.options
    made = Bulk(
        account_id=options.account_ids[0],
        cc_id=options.cc_ids[0],
        developer=options.access_key,
        calls=-(-rows // _ROWS_A_CALL),
        begin=int(service.clock.now() - ago),
    )
    service.jobs.bulks.append(made)
    return made


def change(service: Service, row: Row) -> None:
    """Let a row say something else from now on."""
    service.calls.change(row, service.clock.now())


def expire_files(service: Service) -> None:
    """Let the files of all jobs so far be gone."""
    for job in service.jobs.all:
        job.gone = True


async def forge_callback(service: Service, url: str, response_id: str = "", name: str = "") -> str:
    """Send one callback that is signed with a wrong key; return how it went."""
    return await call_back(service, forged(url, response_id, name), wrongly=True)


async def unknown_callback(service: Service, url: str) -> str:
    """Send one callback, signed well, of a job that nobody asked for; return how it went."""
    return await call_back(service, unknown(url))


async def settle(service: Service) -> None:
    """Wait until all rows are written and no callback is due."""
    while not service.is_settled:
        left = service.settles_at - service.clock.now()
        if left > 0:
            await service.wait(service.settles_at)
        else:
            await service.changed.park()


def truth(service: Service) -> dict[Identity, dict[str, str]]:
    """Return what each row that is written says now, as files spell it."""
    now, zone = service.clock.now(), row_zone(service.faults, service.zone)
    found = {}
    for row in service.rows.all:
        seen = row.seen_at(now)
        if seen is not None:
            version = row.versions[seen]
            found[row.identity_of(version)] = row.spelt(version, zone)
    return found


def handed(service: Service) -> dict[Identity, list[dict[str, str]]]:
    """Return what each row said in zips that were sent whole and sound, in the order of its versions."""
    zone = row_zone(service.faults, service.zone)
    found: dict[Identity, list[dict[str, str]]] = {}
    for row in service.rows.all:
        for version in row.versions:
            if version.exported:
                found.setdefault(row.identity_of(version), []).append(row.spelt(version, zone))
    return found


def never_handed(service: Service) -> set[Identity]:
    """Return the rows that are written, and that no sound zip held in any version."""
    now = service.clock.now()
    return {
        row.identity
        for row in service.rows.all
        if row.seen_at(now) is not None and not any(each.exported for each in row.versions)
    }


def _write_at(made: Call, now: float) -> None:
    """Let what would be written soon be written now: for a test that looks for the call at once."""
    for row in made.rows:
        for version in row.versions:
            if version.visible_at <= row.end + _SOON:
                version.visible_at = min(version.visible_at, now)
