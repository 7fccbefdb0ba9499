"""Going on with a solve that was cut short, from its checkpoint."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from distributed import Client

from dasksor.clusters import cluster_for
from dasksor.engine.checkpoint import load
from dasksor.engine.course import Measurement
from dasksor.errors import NotConverged
from dasksor.interrupts import shielded
from dasksor.result import Result
from dasksor.solve import solve_there


def resume(
    path: str | os.PathLike,
    *,
    client: Client | None = None,
    timeout: float | None = None,
    callback: Callable[[Measurement], object] | None = None,
    raise_on_failure: bool = False,
) -> Result:
    """Go on with the solve that wrote the checkpoint at ``path``.

    It goes on from the newest state written, or from its start when there is none yet, and writes
    on to the same checkpoint. With exact sweeps the answer is bit for bit that of a solve that
    was never cut short, on any cluster. The checkpoint is a pickle: resume only what you trust.

    Parameters
    ----------
    path : path
        What was given to `dasksor.solve` as ``checkpoint``.
    client, callback, raise_on_failure
        As for `dasksor.solve`.
    timeout : float, optional
        Seconds from now.

    Returns
    -------
    Result
        Its history includes what was measured before.

    Raises
    ------
    FileNotFoundError
        There is no checkpoint at ``path``.
    NotConverged
        If asked for by `raise_on_failure`.
    """
    began = time.perf_counter()
    case, state = load(path)
    before = state.time if state else 0.0
    limits = replace(case.options.limits, timeout=None if timeout is None else before + timeout)
    options = replace(case.options, limits=limits, callback=callback)
    reason = f"resumed from {os.fspath(path)}"
    with cluster_for(client) as (active, ours), shielded(active):
        result = solve_there(
            case.system, options, "async", reason, active, ours, began,
            earlier=(case.method, case.nblocks, state),
        )  # fmt: skip
    if raise_on_failure and not result.success:
        raise NotConverged(result)
    return result
