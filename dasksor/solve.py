"""The front: checks what was asked, picks what was not, runs a driver, returns a result."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da
from distributed import Client

from dasksor.choices import (
    acceleration_here,
    check_bounded,
    check_nullspace,
    choose_blocks,
    choose_method,
    choose_mode,
    choose_omega,
)
from dasksor.clusters import cluster_for, current_client
from dasksor.dashboard.live import listener
from dasksor.engine import coordinator, placement, synchronous
from dasksor.engine.checkpoint import Checkpoint, State
from dasksor.engine.contact import contact_of
from dasksor.engine.course import Course, Measurement
from dasksor.engine.method import Method
from dasksor.engine.placement import Thread
from dasksor.engine.roll import Roll
from dasksor.engine.ticker import Ticker
from dasksor.errors import NotConverged
from dasksor.interrupts import shielded
from dasksor.options import AUTO, Options
from dasksor.prepared import Prepared
from dasksor.result import Result, result_of
from dasksor.system import LinearSystem


@dataclass(frozen=True)
class Case:
    """What a checkpoint needs besides the state of the run."""

    system: LinearSystem
    options: Options
    method: Method
    nblocks: int


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
    accelerate: str | None = AUTO,
    nullspace: Any = None,
    mailbox: str = AUTO,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 60.0,
    client: Client | None = None,
    timeout: float | None = None,
    callback: Callable[[Measurement], object] | None = None,
    raise_on_failure: bool = False,
    bounds: Any = None,
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
    mode : {"auto", "sequential", "threads", "sync", "async"}
        ``"sequential"``: here, without a cluster. ``"threads"``: accelerated, on all cores of this
        process. ``"sync"``: every sweep a Dask task graph, the exact SOR of the natural order.
        ``"async"``: long-lived tasks on the workers' threads that publish slices of ``x``.
        ``"auto"``: one of those in this process for matrices that are here and no client, or
        where a cluster would not pay; else async.
    omega : float or "auto"
        Relaxation factor in (0, 2). ``"auto"`` estimates it while exact sweeps run (Hageman and
        Young 1981); under staleness it stays where convergence is proven, or says "heuristic"
        and backs off when the residual grows.
    sweep : {"forward", "backward", "symmetric"}
        Order of the rows; symmetric is a forward pass and a backward pass (SSOR).
    blocks : int, optional
        Row blocks, for modes "threads", "sync" and "async".
    staleness : int, None or "auto"
        For mode "async": how many sweeps old the values of other blocks may be. 0 is exact SOR,
        bit for bit the sequential result; None never waits (chaotic relaxation).
    accelerate : {"auto", "cg", "chebyshev", "bicgstab", "gmres", "gcr", None}
        ``"cg"``, for symmetric positive definite ``A``: in this process conjugate gradients
        preconditioned by SSOR and deflated by a coarse space (`sweeps` then counts iterations); in
        mode "async" every two passes of free sweeps become a direction of flexible conjugate
        gradients. ``"chebyshev"``, for the same matrices in this process: Chebyshev semi-iteration,
        in place of conjugate gradients and without their inner products. ``"bicgstab"`` and
        ``"gmres"``, for any ``A``: the same in this process by stabilised biconjugate gradients or
        generalised minimal residuals. ``"gcr"``, for mode "async" and any ``A``, goes along such a
        direction as far as the norm of the residual falls. ``None`` is plain relaxation.
        ``"auto"``: "cg" where ``A`` is symmetric with a positive diagonal and the mode is "auto" or
        "threads", or `staleness` is None; in this process and mode "auto" "bicgstab" for other
        matrices, unless well dominated by their diagonal, and plain sweeps go on where it fails;
        with `staleness` None "gcr" for other matrices with a positive diagonal, unless well
        dominated by it.
    nullspace : array_like, shape (n,) or (n, k), optional
        For accelerated solves of sparse matrices in this process, where mode "auto" then stays: k
        vectors that ``A`` takes nearly to zero, as the rigid body modes of an elastic body. Pieces
        of them make the coarse space; of a constant by default.
    mailbox : {"auto", "memory", "shared", "direct", "variables"}
        For mode "async": what carries slices between threads: the memory of one process, memory
        shared by processes of one machine, messages from worker to worker, or the scheduler's
        Variables. "auto": for each pair the fastest.
    checkpoint : path, optional
        For mode "async": a folder to which the run is written every `checkpoint_every` seconds;
        `dasksor.resume` goes on from there. It holds pickles of ``A`` and ``b``.
    checkpoint_every : float
        Seconds.
    client : distributed.Client, optional
        By default the current client, else a cluster of threads for the time of the call.
    timeout : float, optional
        Seconds after which the best iterate so far is returned.
    callback : callable, optional
        Called with a `Measurement` (time, sweeps, residual_norm, omega) after each measured
        residual; returning True, or raising StopIteration, stops the solve.
    raise_on_failure : bool
        Raise `NotConverged` instead of returning an unsuccessful result.
    bounds : pair of float, array_like or dask.array.Array, optional
        ``(lower, upper)``, numbers or arrays of shape (n,), -inf and inf for none: find ``x``
        between them where ``r = b - A x`` is zero in components strictly between, not positive
        at a lower and not negative at an upper bound. For symmetric positive definite ``A`` that
        is the least ``x' A x / 2 - b' x``. Each update is clipped at once (projected SOR, Cryer
        1971); with "cg" conjugate gradients run on the unknowns that no bound holds (Kocvara and
        Zowe 1994; on a cluster Polyak 1969). In place of ``b - A x`` the natural residual is
        measured, ``a_ii (clip(x_i + r_i / a_ii, lower_i, upper_i) - x_i)``. Needs a positive
        diagonal; ``x0`` is moved between the bounds.

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
    system = LinearSystem.of(A, b, x0, bounds)
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
        accelerate=accelerate,
        nullspace=nullspace,
        mailbox=mailbox,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        client=client,
        callback=callback,
    )
    check_bounded(request, system)
    has_client = client is not None or current_client() is not None
    if request.stays_here:
        system, has_client = system.gathered(), False
    accelerate = acceleration_here(request, system)
    check_nullspace(request, system, accelerate)
    has_client &= request.nullspace is None
    has_client &= system.is_free or request.accelerate != "cg"
    mode, reason = choose_mode(request.mode, system, has_client=has_client, accelerate=accelerate)
    if mode in ("sequential", "threads"):
        ready = Prepared(system.matrix, mode, reason, accelerate, request)
        result = ready.result(system, request, began)
    else:
        with cluster_for(client) as (active, ours), shielded(active):
            result = solve_there(system, request, mode, reason, active, ours, began)
    if raise_on_failure and not result.success:
        raise NotConverged(result)
    return result


def solve_there(
    system: LinearSystem,
    request: Options,
    mode: str,
    reason: str,
    client: Client,
    ours: bool,
    began: float,
    *,
    earlier: tuple[Method, int, State | None] | None = None,
) -> Result:
    """Solve on a cluster; ``earlier`` has method, blocks and state of a run to go on with."""
    # Workers that are lost later are waited for; a cluster that has none is a mistake.
    placement.worker_threads(client)
    roll = Roll(client, _advice(request))
    threads = roll.threads()
    method, nblocks, state = earlier or (None, request.blocks, None)
    nblocks = nblocks or choose_blocks(system, mode, len(threads), waits=request.waits)
    placed = roll.persist(partial(_place, system, nblocks, client, roll))
    if mode == "sync":
        method = Method(0, request.directions)
    elif method is None:
        method = choose_method(request, system, placed.facts, len(threads))
    omega = choose_omega(request, system, placed.facts, method)
    course = Course(request.limits, omega, request.callback)
    # Our own cluster ends with this call, and an answer left on it would end with it.
    as_dask = isinstance(system.rhs, da.Array)
    setup = time.perf_counter() - began
    mailbox, losses, moves = None, 0, 0
    ticker = _ticker(client, ours, system, method, mode=mode, blocks=nblocks)
    if mode == "sync":
        run_there = synchronous.Run(
            placed, course, client, directions=request.directions, ticker=ticker
        )
        outcome = run_there.run(as_dask=as_dask and not ours)
    else:
        run = coordinator.Run(
            system,
            placed,
            course,
            client,
            roll,
            method=method,
            mailbox=request.mailbox,
            checkpoint=_checkpoint(system, request, method, nblocks, goes_on=bool(earlier)),
            state=state,
            ticker=ticker,
        )
        outcome = run.run(as_dask=as_dask and not ours)
        mailbox = ", ".join(run.mailboxes) or None
        placed, losses, moves = run.placement, run.losses, run.moves
    touched = contact_of(system, placed, outcome.x, client) if system.is_bounded else None
    if as_dask and ours:
        chunks = (-1, placed.partition.sizes)
        outcome.x = da.from_array(outcome.x, chunks=chunks)
        touched = touched and tuple(da.from_array(part, chunks=chunks) for part in touched)
    return result_of(
        system, request, course, outcome, began, setup,
        mode=mode, reason=reason, staleness=method.staleness, accelerate=method.acceleration,
        blocks=nblocks, workers=len(placed.threads), mailbox=mailbox, losses=losses, moves=moves,
        contact=touched,
    )  # fmt: skip


def _ticker(
    client: Client, ours: bool, system: LinearSystem, method: Method, **how: Any
) -> Ticker | None:
    """Who says how the run goes, where the cluster has a page for it."""
    wire = listener(client, ours=ours)
    if wire is None:
        return None
    head = {"n": system.n, "staleness": method.staleness, "accelerate": method.acceleration}
    return Ticker(wire.say, f"solve-{uuid.uuid4().hex[:12]}", head | how)


def _place(
    system: LinearSystem, nblocks: int, client: Client, roll: Roll, threads: list[Thread]
) -> placement.Placement:
    return placement.place(system, nblocks, threads, client, partial(roll.check, threads))


def _advice(request: Options) -> str:
    if request.checkpoint is None:
        return "give checkpoint= next time, to go on from there"
    return f"go on with dasksor.resume({str(request.checkpoint)!r})"


def _checkpoint(
    system: LinearSystem, request: Options, method: Method, nblocks: int, *, goes_on: bool
) -> Checkpoint | None:
    if request.checkpoint is None:
        return None
    case = Case(system, replace(request, client=None, callback=None), method, nblocks)
    return Checkpoint(request.checkpoint, request.checkpoint_every, nblocks, case, goes_on=goes_on)
