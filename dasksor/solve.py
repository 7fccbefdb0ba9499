"""The front: checks what was asked, picks what was not, runs a driver, returns a result."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
from distributed import Client, LocalCluster, get_client, get_worker, worker_client

from dasksor import config
from dasksor import omega as relaxation
from dasksor.analysis import RowFacts, row_facts, worst
from dasksor.engine import coordinator, placement, sequential, synchronous
from dasksor.engine.course import Course, Measurement
from dasksor.engine.outcome import Outcome, Timings
from dasksor.errors import NotConverged
from dasksor.options import AUTO, Options
from dasksor.partition import Partition
from dasksor.result import Result, shaped, timings_dict
from dasksor.rows import prepare_rows
from dasksor.system import LinearSystem


def solve(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    mode: str = AUTO,
    omega: float | str = AUTO,
    sweep: str = "forward",
    blocks: int | None = None,
    staleness: int | str | None = AUTO,
    mailbox: str = AUTO,
    client: Client | None = None,
    timeout: float | None = None,
    callback: Callable[[Measurement], object] | None = None,
    raise_on_failure: bool = False,
) -> Result:
    """Solve ``A x = b`` by successive over-relaxation (SOR), also on a Dask cluster.

    One forward sweep updates, row after row and always with the newest values,
    ``x_i <- x_i + omega / a_ii * (b_i - sum_j a_ij x_j)``. Converged means
    ``norm(b - A x) <= max(rtol * norm(b), atol)``, measured on the ``x`` that is returned.

    Parameters
    ----------
    A : ndarray, scipy sparse array or matrix, dask.array.Array, or from `dasksor.from_blocks`
        Real, shape (n, n), no zero on the diagonal. SOR converges for symmetric positive
        definite matrices with every omega in (0, 2), and for diagonally dominant ones.
    b : array_like or dask.array.Array, shape (n,) or (n, m)
        One or several right-hand sides; a Dask array makes ``x`` a Dask array.
    x0 : array_like or dask.array.Array, optional
        Start, of the shape of ``b``; zero by default.
    rtol, atol : float
        Tolerances. With both zero exactly `maxiter` sweeps are made.
    maxiter : int, optional
        Most sweeps; ``max(10 n, 1000)`` by default.
    mode : {"auto", "sequential", "sync", "async"}
        ``"sequential"``: here, without a cluster. ``"sync"``: every sweep a Dask task graph, the
        exact SOR of the natural order. ``"async"``: long-lived tasks on the workers' threads that
        publish slices of ``x``. ``"auto"``: sequential where a cluster would not pay, else async.
    omega : float or "auto"
        Relaxation factor in (0, 2). ``"auto"`` estimates it while exact sweeps run (Hageman and
        Young 1981); under staleness it stays where convergence is proven, or says "heuristic"
        and backs off when the residual grows.
    sweep : {"forward", "backward", "symmetric"}
        Order of the rows; symmetric is a forward pass and a backward pass (SSOR).
    blocks : int, optional
        Row blocks, for modes "sync" and "async".
    staleness : int, None or "auto"
        For mode "async": how many sweeps old the values of other blocks may be. 0 is exact SOR,
        bit for bit the sequential result; None never waits (chaotic relaxation).
    mailbox : {"auto", "memory", "variables"}
        For mode "async": what carries the slices.
    client : distributed.Client, optional
        By default the current client, else a cluster of threads for the time of the call.
    timeout : float, optional
        Seconds after which the best iterate so far is returned.
    callback : callable, optional
        Called with a `Measurement` (time, sweeps, residual_norm, omega) after each measured
        residual; returning True, or raising StopIteration, stops the solve.
    raise_on_failure : bool
        Raise `NotConverged` instead of returning an unsuccessful result.

    Returns
    -------
    Result
        Also unpacks as ``x, info``.

    Raises
    ------
    TypeError, ValueError
        Bad input, before any worker starts; of matrices that only workers see, before any sweep.
    NotConverged
        If asked for by `raise_on_failure`.

    References
    ----------
    D. M. Young, *Iterative Solution of Large Linear Systems*, 1971. L. A. Hageman and D. M. Young,
    *Applied Iterative Methods*, 1981. D. Chazan and W. Miranker, *Chaotic relaxation*, 1969.
    """
    began = time.perf_counter()
    system = LinearSystem.of(A, b, x0)
    request = Options.checked(
        system.n,
        rtol=rtol,
        atol=atol,
        maxiter=maxiter,
        timeout=timeout,
        mode=mode,
        omega=omega,
        sweep=sweep,
        blocks=blocks,
        staleness=staleness,
        mailbox=mailbox,
        client=client,
        callback=callback,
    )
    mode, reason = _choose_mode(request, system)
    if mode == "sequential":
        result = _solve_here(system, request, reason, began)
    else:
        with _cluster(request.client) as (active, ours):
            result = _solve_there(system, request, mode, reason, active, ours, began)
    if raise_on_failure and not result.success:
        raise NotConverged(result)
    return result


# Which way to go


def _choose_mode(request: Options, system: LinearSystem) -> tuple[str, str]:
    if request.mode != AUTO:
        return request.mode, "as asked"
    if not system.is_local:
        return "async", "A is built on the workers"
    below = int(config.get("sequential-below"))
    if system.entries is not None and system.entries < below:
        return "sequential", f"{system.entries} entries, fewer than {below}, do not pay a cluster"
    if request.client is None and _current_client() is None and available_cores() == 1:
        return "sequential", "one core and no cluster"
    return "async", f"{system.entries} entries pay a cluster"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _current_client() -> Client | None:
    try:
        client = get_client()
    except ValueError:
        return None
    return client if client.status == "running" and not client.asynchronous else None


def _inside_a_task() -> bool:
    try:
        get_worker()
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _cluster(client: Client | None) -> Iterator[tuple[Client, bool]]:
    """The given client, the current one, or threads of this process for the time of the call.

    Also says whether the cluster is ours and ends with the call.
    """
    with contextlib.ExitStack() as stack:
        ours = False
        if client is None and _inside_a_task():
            # This task must leave its thread, or the solve would wait for a place behind it.
            client = stack.enter_context(worker_client())
        elif client is None:
            client = _current_client()
        if client is None:
            ours = True
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=available_cores(),
                    threads_per_worker=1,
                    processes=False,
                    dashboard_address=":0",
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        stack.enter_context(client.as_current())
        yield client, ours


def _staleness(request: Options, facts: list[RowFacts], nblocks: int) -> int | None:
    """What the user said, else exact SOR unless it would run as a chain that staleness spares.

    Where every block reads every other one, exact SOR runs one block at a time; strictly
    diagonally dominant matrices converge without the order, for every schedule.
    """
    if request.staleness != AUTO:
        return request.staleness  # type: ignore[return-value]
    dense = all(len(f.needs) == nblocks for f in facts) and nblocks > 2
    return None if dense and worst(facts)[0] < 1.0 else 0


def _relaxation(
    request: Options, facts: list[RowFacts], staleness: int | None
) -> relaxation.Relaxation:
    if request.omega != AUTO:
        return relaxation.Given(float(request.omega))
    if staleness != 0:
        return relaxation.for_stale_sweeps(*worst(facts))
    if len(request.directions) == 2:
        return relaxation.Cautious(1.0, "proven" if worst(facts)[0] < 1.0 else "heuristic")
    return relaxation.Estimated()


# The drivers


def _solve_here(system: LinearSystem, request: Options, reason: str, began: float) -> Result:
    matrix, rhs, start = system.whole()
    rows = prepare_rows(matrix, 0)
    facts = [row_facts(rows, Partition((0, system.n)))]
    course = Course(request.limits, _relaxation(request, facts, 0), request.callback)
    setup = time.perf_counter() - began
    outcome = sequential.run(rows, rhs, start, course, request.directions)
    if isinstance(system.rhs, da.Array):
        outcome.x = da.from_array(outcome.x, chunks=system.rhs.chunks)
    return _result(
        system, request, course, outcome, began, setup,
        mode="sequential", reason=reason, staleness=0, blocks=1, workers=1, mailbox=None,
    )  # fmt: skip


def _solve_there(
    system: LinearSystem,
    request: Options,
    mode: str,
    reason: str,
    client: Client,
    ours: bool,
    began: float,
) -> Result:
    threads = placement.worker_threads(client)
    nblocks = request.blocks or _default_blocks(system, mode, len(threads))
    placed = placement.place(system, nblocks, threads, client)
    staleness = 0 if mode == "sync" else _staleness(request, placed.facts, nblocks)
    course = Course(request.limits, _relaxation(request, placed.facts, staleness), request.callback)
    # Our own cluster ends with this call, and an answer left on it would end with it.
    as_dask = isinstance(system.rhs, da.Array)
    setup = time.perf_counter() - began
    mailbox = None
    if mode == "sync":
        outcome = synchronous.Run(placed, course, client, directions=request.directions).run(
            as_dask=as_dask and not ours
        )
    else:
        run = coordinator.Run(
            placed,
            course,
            client,
            staleness=staleness,
            directions=request.directions,
            mailbox=request.mailbox,
        )
        mailbox = run.mailbox
        outcome = run.run(as_dask=as_dask and not ours)
    if as_dask and ours:
        outcome.x = da.from_array(outcome.x, chunks=(-1, placed.partition.sizes))
    return _result(
        system, request, course, outcome, began, setup,
        mode=mode, reason=reason, staleness=staleness, blocks=nblocks,
        workers=len(placed.threads), mailbox=mailbox,
    )  # fmt: skip


def _default_blocks(system: LinearSystem, mode: str, nthreads: int) -> int:
    if not system.is_local and hasattr(system.matrix, "nblocks"):
        return system.matrix.nblocks
    per_thread = int(config.get(f"blocks-per-thread.{mode}"))
    return max(1, min(system.n, per_thread * nthreads))


def _result(
    system: LinearSystem,
    request: Options,
    course: Course,
    outcome: Outcome,
    began: float,
    setup: float,
    **how: Any,
) -> Result:
    assert course.status is not None
    norms = course.best_norms
    total: Timings = outcome.timings
    total.setup = setup
    return Result(
        x=shaped(outcome.x, system.vector),
        status=course.status,
        sweeps=course.best_sweeps,
        residual_norm=float(norms[0]) if system.vector else norms,
        rtol=request.limits.rtol,
        atol=request.limits.atol,
        omega=course.relaxation.omega,
        omega_origin=course.relaxation.origin,
        history=course.history,
        timings=timings_dict(total, outcome.blocks, time.perf_counter() - began),
        messages=outcome.messages,
        bytes_sent=outcome.bytes_sent,
        **how,
    )
