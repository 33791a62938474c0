"""What the bound has learned from checks and reports, as text for the cache's file, and back.

Ages go on over a restart, so what is older says less. What another verdict's claims have taught is not taken: the
counts go by those claims. Anything that is not ours, or damaged, teaches nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from balancer.cache.bound import ENTRIES_MAX, HALF_LIFE_S, LOOK_AGAIN_OFFERS, POOLS_MAX, Bound
from balancer.cache.bound_parts import Record
from balancer.cache.observations import BINS, COUNTS_MAX, EQUAL, RIGHT, ROWS, WRONG, Counts

FORMAT: Final = 1
_LOOKED_AT_ONCE: Final = 64
"""Pools, half a millisecond each; others are looked at when they are asked next."""
_SAME_S: Final = 1.0
"""Entries made at times that differ by less are one: clocks are read apart."""

_Cells = list[tuple[int, int, float]]
"""Row, bin and count of what is not zero."""


class _Pool(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    model: str
    looked_at: float
    cells: _Cells


class _Record(msgspec.Struct, frozen=True, array_like=True):
    key: str
    created: float
    limit: int
    cells: _Cells


class _Memory(msgspec.Struct, frozen=True):
    format: int
    verdict: str
    allowed: float
    served: int
    withheld: int
    reports: int
    checked: dict[str, int]
    checked_withheld: dict[str, int]
    pools: list[_Pool]
    records: list[_Record]
    served_at: list[tuple[str, int]]
    controls: dict[str, int]
    judge: str


class Snapshot(NamedTuple):
    """One moment's, quickly taken; ``text`` takes longer, and may be called in another thread."""

    head: dict[str, Any]
    pools: list[tuple[tuple[str, str], float, Counts]]
    records: list[tuple[bytes, float, int, Counts]]
    served_at: list[tuple[bytes, int]]
    unix_offset_s: float

    def text(self) -> str:
        """JSON."""
        offset_s = self.unix_offset_s
        pools = [(tenant, model, at + offset_s, _cells(counts)) for (tenant, model), at, counts in self.pools]
        records = [(key.hex(), at + offset_s, limit, _cells(counts)) for key, at, limit, counts in self.records]
        served_at = [(key.hex(), at) for key, at in self.served_at]
        parts = {"pools": _array(pools), "records": _array(records), "served_at": _array(served_at)}
        return json.dumps(self.head)[:-1] + "".join(f', "{name}": {part}' for name, part in parts.items()) + "}"


def _array(items: Iterable[object]) -> str:
    """Piece by piece: while one long text is made no other thread runs."""
    return f"[{','.join([json.dumps(each) for each in items])}]"


def version(bound: Bound, controls: dict[str, int]) -> int:
    """Another number tells that there is something new."""
    checks = sum(bound.checked.values()) + sum(bound.checked_withheld.values())
    return bound.served + bound.withheld + bound.reports + checks + sum(controls.values())


def snapshot(bound: Bound, verdict: str, judge: str, controls: dict[str, int], unix_offset_s: float) -> Snapshot:
    """``verdict`` and ``judge`` name those whose words it goes by; ``unix_offset_s``: Unix time less monotonic."""
    head = {
        "format": FORMAT,
        "verdict": verdict,
        "allowed": bound.allowed,
        "served": bound.served,
        "withheld": bound.withheld,
        "reports": bound.reports,
        "checked": _named(bound.checked),
        "checked_withheld": _named(bound.checked_withheld),
        "controls": controls,
        "judge": judge,
    }
    pools = [(key, pool.looked_at, pool.tally.counts.copy()) for key, pool in bound.pools.items()]
    records = [(key, record.created, record.limit, record.tally.counts.copy()) for key, record in bound.records.items()]
    return Snapshot(head, pools, records, list(bound.served_at.items()), unix_offset_s)


class Recalled(NamedTuple):
    """What does not belong to the bound itself."""

    judge: str
    controls: dict[str, int]


def recall(
    bound: Bound,
    text: str,
    verdict: str,
    judge: str,
    now: float,
    unix_offset_s: float,
    created: Callable[[bytes], float | None],
) -> Recalled | None:
    """Teach ``bound`` what a snapshot tells, beside what it knows; ``None`` where that is none, or of another verdict.

    ``created`` tells when the entry of this key was made, at monotonic time; ``None`` where there is none. What another
    judge than ``judge`` (empty: there is none now) has said is left out: its errors are others.
    """
    told = _read(text, verdict)
    if told is None:
        return None
    memory = told.memory
    if judge and memory.judge and judge != memory.judge:
        told = _unjudged(told)
    bound.served += memory.served
    bound.withheld += memory.withheld
    bound.reports += memory.reports
    for found, more in ((bound.checked, told.checked), (bound.checked_withheld, told.checked_withheld)):
        for name, count in more.items():
            found[name] += count
    _recall_pools(bound, told.pools, now, unix_offset_s)
    _recall_records(bound, told, unix_offset_s, created)
    return Recalled(memory.judge, {name: count for name, count in memory.controls.items() if count >= 0})


class _Told(NamedTuple):
    """A snapshot that was read and found sound."""

    memory: _Memory
    pools: list[tuple[_Pool, Counts]]
    records: list[tuple[bytes, _Record, Counts]]
    served_at: list[tuple[bytes, int]]
    checked: dict[int, int]
    checked_withheld: dict[int, int]


def _read(text: str, verdict: str) -> _Told | None:
    """``None`` for what is no snapshot of ours, of another verdict, or damaged."""
    try:
        memory = msgspec.json.decode(text, type=_Memory)
        if memory.format != FORMAT or memory.verdict != verdict:
            return None
        told = _Told(
            memory,
            [(each, _counts(each.cells)) for each in memory.pools],
            [(bytes.fromhex(each.key), each, _counts(each.cells)) for each in memory.records],
            [(bytes.fromhex(key), at) for key, at in memory.served_at if 0 <= at < BINS],
            _numbered(memory.checked),
            _numbered(memory.checked_withheld),
        )
    except (ValueError, RecursionError):
        return None
    counted = (memory.served, memory.withheld, memory.reports, *told.checked.values(), *told.checked_withheld.values())
    return told if min(counted) >= 0 else None


def _unjudged(told: _Told) -> _Told:
    """Without what a judge has said: a record is of little else."""
    for _, counts in told.pools:
        counts[[RIGHT, WRONG]] = 0.0
    checked, withheld = ({**found, RIGHT: 0, WRONG: 0} for found in (told.checked, told.checked_withheld))
    return told._replace(records=[], checked=checked, checked_withheld=withheld)


def _recall_pools(bound: Bound, pools: list[tuple[_Pool, Counts]], now: float, unix_offset_s: float) -> None:
    for each, counts in pools[-POOLS_MAX:]:
        age_s = max(now - (each.looked_at - unix_offset_s), 0.0) if math.isfinite(each.looked_at) else HALF_LIFE_S
        pool = bound.pool(each.tenant, each.model, now)
        pool.tally.counts += counts * 0.5 ** (age_s / HALF_LIFE_S)
        np.minimum(pool.tally.counts, COUNTS_MAX, out=pool.tally.counts)
        if pool.tally.checks or pool.tally.reports:
            pool.informed, pool.offers = True, LOOK_AGAIN_OFFERS
    for pool in list(bound.pools.values())[-_LOOKED_AT_ONCE:]:
        if pool.informed:
            bound.look(pool, now)


def _recall_records(bound: Bound, told: _Told, unix_offset_s: float, created: Callable[[bytes], float | None]) -> None:
    """Of entries that there still are."""
    for key, kept, counts in told.records[-ENTRIES_MAX:]:
        made = created(key)
        if made is None or abs(made - (kept.created - unix_offset_s)) > _SAME_S or key in bound.records:
            continue  # another answer than the one that was judged, or none
        record = bound.records[key] = Record(made)
        record.tally.counts += counts
        same_bar = told.memory.allowed == bound.allowed
        record.limit = min(max(kept.limit, 0), BINS) if same_bar else bound.limit_of(record)
    for key, at in told.served_at[-ENTRIES_MAX:]:
        if created(key) is not None:
            bound.served_at.setdefault(key, at)
    for many in (bound.records, bound.served_at):
        while len(many) > ENTRIES_MAX:
            del many[next(iter(many))]


_NAMES: Final = {EQUAL: "equal", RIGHT: "right", WRONG: "wrong"}


def _named(found: dict[int, int]) -> dict[str, int]:
    return {_NAMES[row]: count for row, count in found.items()}


def _numbered(found: dict[str, int]) -> dict[int, int]:
    return {row: found.get(name, 0) for row, name in _NAMES.items()}


def _cells(counts: Counts) -> _Cells:
    rows, bins = np.nonzero(counts)
    return [(row, at, float(counts[row, at])) for row, at in zip(rows.tolist(), bins.tolist(), strict=True)]


def _counts(cells: _Cells) -> Counts:
    """:class:`ValueError` for what is no count."""
    counts: Counts = np.zeros((ROWS, BINS))
    for row, at, count in cells:
        if not (0 <= row < ROWS and 0 <= at < BINS and 0 <= count <= COUNTS_MAX):
            raise ValueError("no count")
        counts[row, at] = count
    return counts
