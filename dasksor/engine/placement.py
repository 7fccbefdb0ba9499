"""Blocks of a system brought to workers: rows, right-hand sides and start, as futures there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask
from dask import delayed
from distributed import Client, Future

from dasksor.analysis import RowFacts, row_facts
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


def place(system: LinearSystem, nblocks: int, threads: list[Thread], client: Client) -> Placement:
    """Cut the system into blocks and bring neighbouring blocks to the same thread.

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
    placed: dict[str, list[Any]] = {"rows": [], "rhs": [], "start": []}
    for p, (start, stop) in enumerate(partition.ranges):
        address = threads[owner[p]].address
        with dask.annotate(workers=[address], allow_other_workers=False):
            raw = _on_worker(system.rows(start, stop), client, address)
            placed["rows"].append(delayed(prepare_rows, pure=False)(raw, start))
            for name, vectors in (("rhs", system.rhs), ("start", system.start)):
                entries = system.entries_of(vectors, start, stop)
                placed[name].append(_on_worker(entries, client, address))
    futures = {
        name: client.compute(items, sync=False, optimize_graph=False)
        for name, items in placed.items()
    }
    settle([future for items in futures.values() for future in items])
    looks = client.map(row_facts, futures["rows"], partition=partition, pure=False)
    facts = results(client, looks)
    return Placement(
        partition,
        threads,
        owner,
        **futures,
        facts=facts,
        exchanges=exchanges([f.needs for f in facts]),
        sites=client.run(look_around, workers=sorted({t.address for t in threads})),
        nrhs=system.nrhs,
    )


def _on_worker(value: Any, client: Client, address: str) -> Any:
    if dask.is_dask_collection(value):
        return value
    return delayed(client.scatter(value, workers=[address], hash=False))
