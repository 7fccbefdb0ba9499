"""Blocks of a system brought to workers: rows, right-hand sides and start, as futures there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dask
from dask import delayed
from distributed import Client, Future

from dasksor.analysis import RowFacts, row_facts
from dasksor.bounded_rows import with_bounds
from dasksor.engine.futures import results, settle
from dasksor.mailbox.routes import Site, look_around
from dasksor.partition import Exchange, Partition, exchanges
from dasksor.rows import prepare_rows
from dasksor.system import LinearSystem


@dataclass(frozen=True)
class Thread:
    """One thread of one worker: what a host runs on."""

    address: str
    slot: int

    @property
    def label(self) -> str:
        """For people: without the protocol, and with the thread where it is not the first."""
        where = self.address.rpartition("//")[2]
        return f"{where} #{self.slot + 1}" if self.slot else where


@dataclass
class Placement:
    """Where the blocks are. ``owner[p]`` indexes `threads`; the futures are one for each block."""

    partition: Partition
    threads: list[Thread]
    owner: list[int]
    rows: list[Future]
    rhs: list[Future]
    start: list[Future]
    facts: list[RowFacts]
    exchanges: list[Exchange]
    sites: dict[str, Site]
    nrhs: int

    def site_of(self, block: int) -> Site:
        """The worker, as a place, that a block is on."""
        return self.sites[self.threads[self.owner[block]].address]

    def blocks_of(self, host: int) -> list[int]:
        return [p for p, owner in enumerate(self.owner) if owner == host]


def worker_threads(client: Client) -> list[Thread]:
    """Every thread of every worker, worker by worker.

    Raises
    ------
    ValueError
        The cluster has no worker.
    """
    workers = client.nthreads()
    if not workers:
        raise ValueError("the cluster has no workers: start or scale it up before solving")
    return [
        Thread(address, slot)
        for address, nthreads in sorted(workers.items())
        for slot in range(nthreads)
    ]


def place(
    system: LinearSystem,
    nblocks: int,
    threads: list[Thread],
    client: Client,
    check: Callable[[], None],
) -> Placement:
    """Cut the system into blocks and bring neighbouring blocks to the same thread.

    ``check`` is called while that lasts, and may raise.

    Rows of a NumPy or scipy matrix travel from here, block by block; rows of the other kinds are
    built where they are used.

    Raises
    ------
    ValueError
        An entry is not finite, or a diagonal entry is zero, as only the workers could see.
    """
    partition = system.partition(nblocks)
    threads = threads[:nblocks]
    owner = partition.shared_among(len(threads))
    homes = {p: threads[owner[p]].address for p in range(nblocks)}
    rows, rhs, start = _bring(system, partition, homes, client, check)
    looks = [
        client.submit(row_facts, row, partition, workers=[homes[p]], pure=False)
        for p, row in enumerate(rows)
    ]
    facts = results(client, looks, check)
    return Placement(
        partition,
        threads,
        owner,
        rows,
        rhs,
        start,
        facts=facts,
        exchanges=exchanges([f.needs for f in facts]),
        sites=_sites(threads, client),
        nrhs=system.nrhs,
    )


def moved(
    placement: Placement,
    system: LinearSystem,
    threads: list[Thread],
    owner: list[int],
    client: Client,
    *,
    alive: set[str],
    check: Callable[[], None],
) -> Placement:
    """The same blocks with other owners; what no worker ``alive`` has is brought anew.

    ``check`` is called while that lasts, and may raise.
    """
    parts_of = zip(placement.rows, placement.rhs, placement.start, strict=True)
    # By keys: `Client.who_has` refuses futures that are lost, and it is those we ask for.
    keys = [future.key for future in (*placement.rows, *placement.rhs, *placement.start)]
    holders = client.sync(client.scheduler.who_has, keys=keys)  # type: ignore[union-attr]
    homes = {
        p: threads[owner[p]].address
        for p, parts in enumerate(parts_of)
        if not all(alive.intersection(holders.get(part.key, ())) for part in parts)
    }
    rows, rhs, start = list(placement.rows), list(placement.rhs), list(placement.start)
    if homes:
        brought = _bring(system, placement.partition, homes, client, check)
        for p, *futures in zip(homes, *brought, strict=True):
            rows[p], rhs[p], start[p] = futures
    return replace(
        placement,
        threads=threads,
        owner=owner,
        rows=rows,
        rhs=rhs,
        start=start,
        sites=_sites(threads, client),
    )


def _bring(
    system: LinearSystem,
    partition: Partition,
    homes: dict[int, str],
    client: Client,
    check: Callable[[], None],
) -> tuple[list[Future], list[Future], list[Future]]:
    """Rows, right-hand sides and start of the blocks in ``homes``, each on its worker."""
    placed: list[list[Any]] = [[], [], []]
    for p, address in homes.items():
        start, stop = partition.ranges[p]
        with dask.annotate(workers=[address], allow_other_workers=False):
            if system.is_local:
                raw = _on_worker(system.rows(start, stop), client, address)
                ready = delayed(prepare_rows, pure=False)(raw, start)
            else:
                ready = system.prepared(start, stop)
            bounds = system.bounds_of(start, stop)
            if bounds is not None:
                there = _on_worker(bounds, client, address)
                ready = delayed(with_bounds, pure=False)(ready, there, start)
            placed[0].append(ready)
            for items, vectors in ((placed[1], system.rhs), (placed[2], system.start)):
                entries = system.entries_of(vectors, start, stop)
                items.append(_on_worker(entries, client, address))
    rows, rhs, begin = (client.compute(items, sync=False, optimize_graph=False) for items in placed)
    settle([*rows, *rhs, *begin], check)
    return rows, rhs, begin


def _sites(threads: list[Thread], client: Client) -> dict[str, Site]:
    return client.run(look_around, workers=sorted({t.address for t in threads}))


def _on_worker(value: Any, client: Client, address: str) -> Any:
    if dask.is_dask_collection(value):
        return value
    return delayed(client.scatter(value, workers=[address], hash=False))
