"""One sweep as a lazy Dask array: the building block of synchronous mode, for people's own use."""

from __future__ import annotations

import uuid
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from dask.highlevelgraph import HighLevelGraph

from dasksor.analysis import row_facts
from dasksor.bounded_rows import with_bounds
from dasksor.engine import graph
from dasksor.options import check_blocks, check_choice, check_omega
from dasksor.partition import Partition, hull
from dasksor.result import shaped
from dasksor.rows import BACKWARD, FORWARD, prepare_rows
from dasksor.system import LinearSystem


def sweep(
    A: Any,
    b: Any,
    x: Any,
    omega: float = 1.0,
    *,
    direction: str = "forward",
    blocks: int | None = None,
    bounds: Any = None,
) -> da.Array:
    """One SOR sweep, ``x_i <- x_i + omega / a_ii * (b_i - sum_j a_ij x_j)``, as a Dask array.

    Nothing is computed until the result is. Feed the result back in as ``x`` for more sweeps:
    their tasks overlap as far as the entries of ``A`` allow. ``result.visualize()`` draws the
    dependence of the blocks, which is that of exact SOR in the natural order.

    Parameters
    ----------
    A : ndarray, scipy sparse array or matrix, dask.array.Array, or from `dasksor.from_blocks`
        Real, shape (n, n), no zero on the diagonal.
    b, x : array_like or dask.array.Array, shape (n,) or (n, m)
        Right-hand sides and current iterate.
    omega : float
        Relaxation factor in (0, 2); 1 is Gauss-Seidel.
    direction : {"forward", "backward"}
        Order of the rows.
    blocks : int, optional
        Row blocks; by default the row chunks of a Dask ``A``, the blocks of a factory, else 4.
    bounds : pair of float, array_like or dask.array.Array, optional
        ``(lower, upper)``: ``x`` is moved between them first, and each new value at once.

    Returns
    -------
    dask.array.Array
        The new iterate, of the shape of ``b``.

    Raises
    ------
    TypeError, ValueError
        As `dasksor.solve`.
    """
    check_omega(omega)
    check_choice("direction", direction, ("forward", "backward"))
    system = LinearSystem.of(A, b, x, bounds)
    partition = _partition(system, blocks)
    rows, reads = [], []
    for p, (start, stop) in enumerate(partition.ranges):
        raw = system.rows(start, stop)
        ready = delayed(prepare_rows, pure=False)(raw, start)
        if not system.is_free:
            part = delayed(system.bounds_of(start, stop))
            ready = delayed(with_bounds, pure=False)(ready, part, start)
        rows.append(ready)
        if system.is_local:
            needs = row_facts(prepare_rows(raw, start), partition).needs
        else:
            needs = {q: slice(0, size) for q, size in enumerate(partition.sizes)}
        reads.append({q: hull(part) for q, part in needs.items() if q != p})
    rhs = [delayed(system.entries_of(system.rhs, *r)) for r in partition.ranges]
    old = [delayed(system.entries_of(system.start, *r)) for r in partition.ranges]
    parts = graph.Blocks(
        partition,
        [d.key for d in rows],
        [d.key for d in rhs],
        reads,
        range(partition.nblocks),
    )
    tasks: graph.Graph = {}
    name = f"sor-sweep-{uuid.uuid4().hex[:12]}"
    sign = FORWARD if direction == "forward" else BACKWARD
    graph.add_sweep(tasks, name, parts, [d.key for d in old], float(omega), sign)
    layers = HighLevelGraph.from_collections(name, tasks, dependencies=[*rows, *rhs, *old])
    chunks = ((system.nrhs,), partition.sizes)
    return shaped(da.Array(layers, name, chunks, np.float64), system.vector)


def _partition(system: LinearSystem, blocks: int | None) -> Partition:
    if blocks is not None:
        blocks = check_blocks(blocks, system.n)
    if blocks is None and isinstance(system.matrix, da.Array):
        return Partition((0, *np.cumsum(system.matrix.chunks[0]).tolist()))
    return system.partition(blocks or min(system.n, getattr(system.matrix, "nblocks", 4)))
