"""Do to the simulated service what a test asks for."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.table import Producer, Row, TruthKey
from streamd.simulators.avaya.wire import Message


def set_rate(service: Service, rate: float) -> None:
    """Send `rate` LIVE messages a second from now on; 0: none, inf: as many as the sockets take."""
    service.rate = rate
    service.wake()


async def drop_sockets(service: Service, mode: str = "fin", producer: str | None = None) -> int:
    """End all sockets (of `producer`): `fin`, `rst` or `close:CODE`; return how many, once they are closed.

    A socket that is half-open keeps silent on a close.
    """
    if mode not in ("fin", "rst") and not (mode.startswith("close:") and mode[6:].isdecimal()):
        raise ValueError(f"{mode!r}: fin, rst or close:CODE")
    chosen = [
        each
        for each in service.sessions
        if producer is None or (each.subscription is not None and each.subscription.producer == producer)
    ]
    for session in chosen:
        session.end(mode)
    with trio.move_on_after(5):
        for session in chosen:
            await session.closed.wait()
    return len(chosen)


def remove_keys(
    service: Service, count: int, producer: str | None = None, *, silent: bool = False
) -> list[TruthKey]:
    """Remove the `count` oldest keys of each producer (or of one) and return them.

    DELETE messages go to who listens, unless `silent`; who is away never learns of it (row 13).
    """
    removed: list[TruthKey] = []
    for each in _chosen(service, producer):
        rows = list(each.rows.values())[:count]
        messages: list[Message] = []
        for row in rows:
            each.remove(row)
            messages.append(_delete_message(service, row))
            removed.append(_truth_key(service, each, row.keys))
        if not silent:
            service.deliver(each.name, messages)
    return removed


def add_keys(
    service: Service, count: int, producer: str | None = None, *, silent: bool = False
) -> list[TruthKey]:
    """Add `count` new agents or queues to each producer (or to one), send them LIVE and return their keys."""
    added: list[TruthKey] = []
    for each in _chosen(service, producer):
        rows = [service.table.bear(each, service.style, service.now_ms()) for _ in range(count)]
        added += [_truth_key(service, each, row.keys) for row in rows]
        if not silent:
            service.deliver(each.name, [row.envelope.live(row.measures, service.tail) for row in rows])
    return added


def upsert(service: Service, producer: str, keys: Mapping[str, str], measures: Mapping[str, str]) -> None:
    """Merge `measures` into the row of `keys`, made when missing, and send them as one LIVE UPSERT."""
    row = service.table.put(service.table.producers[producer], keys, measures)
    service.deliver(producer, [row.envelope.live(dict(sorted(measures.items())), service.tail)])


def delete(service: Service, producer: str, keys: Mapping[str, str]) -> bool:
    """Remove the row of `keys` and send the DELETE; False when there is no such row."""
    owner = service.table.producers[producer]
    row = owner.rows.get(tuple(sorted(keys.items())))
    if row is None:
        return False
    owner.remove(row)
    service.deliver(producer, [_delete_message(service, row)])
    return True


def expire_tokens(service: Service) -> None:
    """Let every access token expire now, and with them the subscriptions that hang on them."""
    now = trio.current_time()
    service.tokens.expire_all(now)
    for subscription in service.subscriptions.values():
        subscription.expires_at = min(subscription.expires_at, now)
    service.wake()


def _delete_message(service: Service, row: Row) -> Message:
    measures = row.measures if service.faults.has("delete-with-measures") else None
    return row.envelope.delete(measures, service.tail)


def _chosen(service: Service, producer: str | None) -> list[Producer]:
    producers = service.table.producers
    return list(producers.values()) if producer is None else [producers[producer]]


def _truth_key(service: Service, producer: Producer, keys: tuple[tuple[str, str], ...]) -> TruthKey:
    return (service.options.account_id, service.options.event_source_id, producer.name, keys)
