"""`dasksor.contact` of a solution whose rows are on workers."""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from distributed import Client

from dasksor.bounded_rows import BoundedRows
from dasksor.contact import contact, touching
from dasksor.engine.futures import results, settle
from dasksor.engine.graph import local_vector
from dasksor.engine.placement import Placement
from dasksor.rows import residual
from dasksor.system import LinearSystem


def contact_of(
    system: LinearSystem, placement: Placement, x: Any, client: Client
) -> tuple[Any, Any]:
    """The active set and the multipliers, Dask arrays where ``x`` is one: then they stay there."""
    if system.is_free or (system.is_local and not isinstance(x, da.Array)):
        return contact(system, x)
    cuts = placement.partition.bounds
    if isinstance(x, da.Array):
        parts = client.compute(x.to_delayed().ravel().tolist(), optimize_graph=False)
    else:
        parts = [client.scatter([x[:, i:j]], hash=False)[0] for i, j in placement.partition.ranges]
    found = [
        client.submit(
            touching_block,
            placement.rows[p],
            placement.rhs[p],
            parts[p],
            [[cuts[q], parts[q]] for q in facts.needs if q != p],
            workers=[placement.threads[placement.owner[p]].address],
            allow_other_workers=True,
            pure=False,
        )
        for p, facts in enumerate(placement.facts)
    ]
    if not isinstance(x, da.Array):
        here = zip(*results(client, found), strict=True)
        active, multipliers = (np.concatenate(blocks, axis=1) for blocks in here)
        return active, multipliers
    settle(found)
    sizes = placement.partition.sizes
    shapes = [(placement.nrhs, size) for size in sizes]
    there = (
        [
            da.from_delayed(delayed(getitem)(future, k), shape, dtype)
            for future, shape in zip(found, shapes, strict=True)
        ]
        for k, dtype in enumerate((np.int8, np.float64))
    )
    active, multipliers = (da.concatenate(blocks, axis=1) for blocks in there)
    return active, multipliers


def touching_block(
    rows: BoundedRows,
    b: np.ndarray,
    own: np.ndarray,
    parts: Sequence[tuple[int, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """One block's part; ``parts`` as for `local_vector`."""
    r = residual(rows.free, local_vector(rows, own, parts), b)
    return touching(own, np.stack([rows.lower, rows.upper]), r, rows.diagonal)
