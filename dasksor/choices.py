"""What is picked when the user leaves it open: mode, blocks, staleness, omega."""

from __future__ import annotations

import os

import numpy as np
import scipy.sparse as sp

from dasksor import config
from dasksor import omega as relaxation
from dasksor.analysis import (
    RowFacts,
    could_be_positive_definite,
    dominance,
    jacobi_bound,
    suits_gradients,
    worst,
)
from dasksor.engine.method import Method
from dasksor.engine.steps import BOUNDED, ENERGY, RESIDUAL
from dasksor.options import AUTO, DEFINITE, KRYLOV, Options
from dasksor.system import LinearSystem

WORTH_PROVING = 0.95
# A sweep of a matrix so dominated by its diagonal shrinks the error by as much: some tens of sweeps
# are as quick as a Krylov method.
DOMINATED = 0.75
# Without a coarse space grids want over-relaxation; which one hardly matters.
BETWEEN_BOUNDS = 1.6
HERE = (AUTO, "sequential", "threads")
UNSUITABLE = (
    "accelerate={!r} needs a symmetric matrix with a positive diagonal, and A is not: "
    "leave accelerate out"
)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_mode(
    wanted: str, system: LinearSystem, *, has_client: bool, accelerate: str | None = None
) -> tuple[str, str]:
    """A mode, and the reason that the result gives for it."""
    if wanted != AUTO:
        return wanted, "as asked"
    if not system.is_local:
        return "async", "A is built on the workers"
    below = int(config.get("sequential-below"))
    if system.entries is not None and system.entries < below:
        return "sequential", f"{system.entries} entries, fewer than {below}, do not pay threads"
    if not has_client and available_cores() == 1:
        return "sequential", "one core and no cluster"
    if has_client:
        return "async", f"{system.entries} entries pay the cluster"
    # A dense matrix is one block for one thread.
    if accelerate in KRYLOV:
        return "sequential", f"{system.entries} entries, not symmetric with a positive diagonal"
    if accelerate is not None:
        one = isinstance(system.matrix, np.ndarray)
        return ("sequential" if one else "threads"), f"{system.entries} entries, symmetric"
    return "async", f"{system.entries} entries pay a cluster"


def acceleration_here(options: Options, system: LinearSystem) -> str | None:
    """The Krylov method of a solve in this process; None for plain sweeps.

    In mode "auto" the one that suits the matrix, unless the order of sweeps, or their number alone,
    is asked for; in mode "sequential" only what is asked for; in mode "threads" "cg" unless
    "chebyshev" is asked for.

    Raises
    ------
    ValueError
        They are asked for, and the matrix cannot be symmetric positive definite; blocks of a
        dense matrix.
    """
    asked = options.accelerate in DEFINITE or options.mode == "threads"
    definite = "chebyshev" if options.accelerate == "chebyshev" else "cg"
    if options.mode not in HERE or options.accelerate is None or not system.is_local:
        return None
    if options.accelerate in KRYLOV:
        return options.accelerate
    if not asked and (options.mode == "sequential" or not options.leaves_sweeps_open):
        return None
    suitable = suits_gradients(system.matrix)  # type: ignore[arg-type]
    if asked and not suitable:
        raise ValueError(UNSUITABLE.format(definite))
    if isinstance(system.matrix, np.ndarray) and (options.blocks or 1) > 1:
        raise ValueError(
            f"a dense matrix is one block in mode 'threads', got blocks={options.blocks}: "
            "leave it out"
        )
    if suitable:
        return definite
    if not system.is_free:
        return None
    return "bicgstab" if dominance(system.matrix) > DOMINATED else None  # type: ignore[arg-type]


def check_bounded(options: Options, system: LinearSystem) -> None:
    """Refuse what knows no bounds where there are some."""
    if system.is_free:
        return
    if options.accelerate not in (AUTO, "cg", None):
        raise ValueError(
            f"accelerate={options.accelerate!r} knows no bounds: leave it out, or leave bounds out"
        )


def check_nullspace(options: Options, system: LinearSystem, accelerate: str | None) -> None:
    """Refuse near-null vectors where no coarse space would be made of them."""
    if options.nullspace is None:
        return
    if not system.is_local:
        raise ValueError(
            "nullspace needs a matrix in this process: use mode='threads', or leave it out"
        )
    if accelerate is None:
        raise ValueError("nullspace has no meaning for plain sweeps: leave it out")
    check_coarse_space(system.matrix)  # type: ignore[arg-type]


def check_coarse_space(matrix: np.ndarray | sp.csr_array) -> None:
    """Refuse near-null vectors for a matrix that has no coarse space."""
    if isinstance(matrix, np.ndarray):
        raise ValueError(
            "nullspace has no meaning for a dense matrix, which has no coarse space: leave it out"
        )
    if not (matrix.diagonal() > 0.0).all():
        row = int(np.argmax(matrix.diagonal() <= 0.0))
        raise ValueError(
            f"nullspace needs a matrix with a positive diagonal, got {matrix.diagonal()[row]:g} "
            f"at row {row}: leave it out"
        )


def choose_blocks(system: LinearSystem, mode: str, nthreads: int, *, waits: bool = True) -> int:
    """Enough blocks for every thread to have one that is ready while others wait."""
    if not system.is_local and hasattr(system.matrix, "nblocks"):
        return system.matrix.nblocks
    # Blocks of a full matrix wait for each other in turn: more of them only add messages.
    # Those that wait for nobody need no second one, only some to give away.
    kind = mode if waits else "free"
    per_thread = 1 if system.is_dense else int(config.get(f"blocks-per-thread.{kind}"))
    return max(1, min(system.n, per_thread * nthreads))


def choose_staleness(wanted: int | str | None, facts: list[RowFacts], nthreads: int) -> int | None:
    """Exact SOR, unless asynchrony is proven to be worth its price.

    That is where every block reads every other one, so that exact sweeps run block after block,
    and the matrix is strictly diagonally dominant, so that every schedule converges.
    """
    if wanted != AUTO:
        return wanted  # type: ignore[return-value]
    dominance, _ = worst(facts)
    chained = all(len(f.needs) == len(facts) for f in facts)
    if chained and 0.0 < dominance < 1.0 and relaxation.price_of_asynchrony(dominance) < nthreads:
        return None
    return 0


def choose_method(
    options: Options, system: LinearSystem, facts: list[RowFacts], nthreads: int
) -> Method:
    """How asynchronous blocks work: free sweeps are accelerated where the matrix allows it.

    Raises
    ------
    ValueError
        Acceleration is asked for and the matrix cannot be symmetric positive definite.
    """
    directions, accelerate = options.directions, options.accelerate
    staleness = choose_staleness(options.staleness, facts, nthreads)
    suitable = could_be_positive_definite(facts)
    if accelerate == "cg" and not suitable:
        raise ValueError(UNSUITABLE.format(accelerate))
    free = staleness is None or (options.mode == AUTO and options.leaves_sweeps_open)
    if accelerate == "cg" or (accelerate == AUTO and free and suitable):
        return Method(None, directions, ENERGY if system.is_free else BOUNDED)
    if accelerate == "gcr":
        return Method(None, directions, RESIDUAL)
    positive = all(f.positive for f in facts)
    # Plain relaxation is as quick where A is well dominated by its diagonal, and waits for nobody.
    is_open = accelerate == AUTO and staleness is None and positive and system.is_free
    if is_open and _dominance(system, facts) >= WORTH_PROVING:
        return Method(None, directions, RESIDUAL)
    return Method(staleness, directions)


def choose_omega(
    options: Options, system: LinearSystem, facts: list[RowFacts], method: Method
) -> relaxation.Relaxation:
    """The given omega, or the way to find one that suits the sweeps."""
    staleness = method.staleness
    if options.omega != AUTO:
        return relaxation.Given(float(options.omega))
    if method.rule is not None:
        # No omega can make the norm of the rule grow; only for energy that means convergence.
        start = BETWEEN_BOUNDS if method.rule is BOUNDED else 1.0
        return relaxation.Cautious(start, "heuristic" if method.rule is RESIDUAL else "proven")
    if staleness == 0 and len(options.directions) == 1:
        return relaxation.Estimated()
    bound, (_, coupling) = _dominance(system, facts), worst(facts)
    if staleness != 0:
        return relaxation.for_stale_sweeps(bound, coupling)
    return relaxation.Cautious(1.0, "proven" if bound < 1.0 else "heuristic")


def _dominance(system: LinearSystem, facts: list[RowFacts]) -> float:
    """A bound on ``rho(|J|)``, by rows as they are or, where that says nothing, scaled."""
    bound, _ = worst(facts)
    if bound >= 1.0 and system.is_local:
        sharper = jacobi_bound(system.matrix)
        # Just below 1 it proves an omega near 1 only, which grids pay with ten times the sweeps.
        bound = sharper if sharper < WORTH_PROVING else bound
    return bound
