"""The options of a solve, checked before anything starts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from dasksor.engine.course import Limits, Measurement
from dasksor.rows import BACKWARD, FORWARD
from dasksor.system import as_vectors

AUTO = "auto"
MODES = (AUTO, "sequential", "threads", "sync", "async")
# Methods for symmetric positive definite matrices.
DEFINITE = ("cg", "chebyshev")
# Krylov methods for any matrix, which run in this process only.
KRYLOV = ("bicgstab", "gmres")
ACCELERATIONS = (AUTO, *DEFINITE, "gcr", *KRYLOV, None)
MAILBOXES = (AUTO, "memory", "shared", "direct", "variables")
DIRECTIONS = {
    "forward": (FORWARD,),
    "backward": (BACKWARD,),
    "symmetric": (FORWARD, BACKWARD),
}
# An option is refused in a mode where it would do nothing.
MEANING = {
    "blocks": ("threads", "sync", "async"),
    "staleness": ("async",),
    "mailbox": ("async",),
    "accelerate": (AUTO, "sequential", "threads", "async"),
    "checkpoint": ("async",),
    "client": (AUTO, "sync", "async"),
    "nullspace": (AUTO, "sequential", "threads"),
}


@dataclass(frozen=True)
class Options:
    """What the user asked for; see `dasksor.solve`."""

    limits: Limits
    mode: str
    omega: float | str
    directions: tuple[int, ...]
    blocks: int | None
    staleness: int | str | None
    accelerate: str | None
    mailbox: str
    checkpoint: Path | None
    checkpoint_every: float
    client: Client | None
    callback: Callable[[Measurement], object] | None
    nullspace: np.ndarray | None = None

    @property
    def waits(self) -> bool:
        """Whether blocks may have to wait for each other."""
        return self.staleness is not None and self.accelerate not in ("cg", "gcr")

    @property
    def stays_here(self) -> bool:
        """Whether nothing that is asked for runs on a cluster."""
        return self.accelerate == "chebyshev" or self.mode in ("sequential", "threads")

    @property
    def leaves_sweeps_open(self) -> bool:
        """Whether nothing but a tolerance is asked for: no order, age or number of sweeps."""
        limits = self.limits
        ordered = self.directions != DIRECTIONS["forward"] or self.staleness != AUTO
        return not ordered and (limits.rtol > 0.0 or limits.atol > 0.0)

    @classmethod
    def checked(
        cls,
        n: int,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        timeout: float | None = None,
        mode: str = AUTO,
        omega: float | str = AUTO,
        sweep: str = "forward",
        blocks: int | None = None,
        staleness: int | str | None = AUTO,
        accelerate: str | None = AUTO,
        mailbox: str = AUTO,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_every: float = 60.0,
        client: Client | None = None,
        callback: Callable[[Measurement], object] | None = None,
        nullspace: Any = None,
    ) -> Options:
        """Check the options of a solve with ``n`` unknowns.

        Raises
        ------
        TypeError, ValueError
            With the name, the value, and what would do.
        """
        check_choice("mode", mode, MODES)
        check_choice("sweep", sweep, tuple(DIRECTIONS))
        check_choice("accelerate", accelerate, ACCELERATIONS)
        check_choice("mailbox", mailbox, MAILBOXES)
        if omega != AUTO:
            check_omega(omega)
        if blocks is not None:
            blocks = check_blocks(blocks, n)
        _check_staleness(staleness)
        if accelerate in ("cg", "gcr") and staleness not in (None, AUTO):
            raise ValueError(
                f"accelerate={accelerate!r} sweeps without waiting, got staleness={staleness!r}: "
                "leave staleness out, or use accelerate=None for plain relaxation"
            )
        _check_meaning(
            mode,
            blocks=blocks is not None,
            staleness=staleness != AUTO,
            accelerate=accelerate != AUTO,
            mailbox=mailbox != AUTO,
            checkpoint=checkpoint is not None,
            client=client is not None,
            nullspace=nullspace is not None,
        )
        _check_acceleration(mode, accelerate, sweep)
        if client is not None and nullspace is not None:
            raise ValueError("nullspace is for this process, without a client: leave one out")
        if accelerate in KRYLOV:
            mode = "sequential"
        if not _is_number(checkpoint_every) or checkpoint_every < 0:
            raise ValueError(
                f"checkpoint_every must be a number of seconds >= 0, got {checkpoint_every!r}"
            )
        folder = None if checkpoint is None else _checked_folder(checkpoint)
        if client is not None:
            _check_client(client)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable, got {type(callback).__name__}")
        limits = checked_limits(n, rtol, atol, maxiter, timeout)
        return cls(
            limits, mode, omega, DIRECTIONS[sweep], blocks, staleness, accelerate, mailbox,
            folder, float(checkpoint_every), client, callback,
            None if nullspace is None else checked_nullspace(nullspace, n),
        )  # fmt: skip


def _checked_folder(checkpoint: str | os.PathLike) -> Path:
    folder = Path(checkpoint)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"checkpoint {folder} is a file: give a folder, or a new name")
    return folder


def checked_limits(
    n: int, rtol: float, atol: float, maxiter: int | None, timeout: float | None
) -> Limits:
    """When to stop, checked; ``maxiter`` is ``max(10 n, 1000)`` by default."""
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not _is_number(value) or value < 0:
            raise ValueError(f"{name} must be nonnegative and finite, got {value!r}")
    if maxiter is None:
        maxiter = max(10 * n, 1000)
    if not _is_whole(maxiter) or maxiter < 0:
        raise ValueError(f"maxiter must be a nonnegative integer, got {maxiter!r}")
    if timeout is not None and not (isinstance(timeout, Real) and timeout > 0):
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}")
    return Limits(float(rtol), float(atol), int(maxiter), timeout)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and int(value) == value


def checked_nullspace(nullspace: Any, n: int) -> np.ndarray:
    """Near-null vectors of shape (n,) or (n, k) as (1, n) or (k, n)."""
    vectors = np.asarray(as_vectors(np.asarray(nullspace), n, "nullspace"))
    if len(vectors) > n or not vectors.any(axis=1).all():
        raise ValueError(
            f"nullspace must have at most {n} columns, none of them zero, "
            f"got {len(vectors)}: leave out what is zero"
        )
    return vectors


def check_omega(omega: Any) -> None:
    """Refuse a relaxation factor outside (0, 2)."""
    if not _is_number(omega) or not 0 < omega < 2:
        raise ValueError(f"omega must lie in (0, 2) or be 'auto', got {omega!r}")


def check_blocks(blocks: Any, n: int) -> int:
    """A number of blocks as an integer; refuses one that leaves blocks without a row."""
    if not _is_whole(blocks) or not 1 <= blocks <= n:
        raise ValueError(f"blocks must lie in 1, ..., {n} (rows of A), got {blocks!r}")
    return int(blocks)


def check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    """Refuse what is not among ``choices``."""
    if value not in choices:
        known = ", ".join(map(str, choices))
        raise ValueError(f"{name} must be one of {known}; got {value!r}")


def _check_staleness(staleness: Any) -> None:
    if staleness is None or staleness == AUTO:
        return
    if not isinstance(staleness, int | np.integer) or staleness < 0:
        raise ValueError(f"staleness must be None or an integer >= 0, got {staleness!r}")


def _check_meaning(mode: str, **given: bool) -> None:
    for name, was_given in given.items():
        if was_given and mode not in MEANING[name]:
            raise ValueError(
                f"{name} has no meaning in mode {mode!r}: "
                f"leave it out or use mode {MEANING[name][-1]!r}"
            )


def _check_acceleration(mode: str, accelerate: str | None, sweep: str) -> None:
    if mode == "threads" and accelerate is None:
        raise ValueError(
            "mode 'threads' is for accelerated solves, got accelerate=None: "
            "leave it out, or use another mode for plain sweeps"
        )
    if accelerate == "gcr" and mode != "async":
        raise ValueError(
            f"accelerate='gcr' is for mode 'async', got mode {mode!r}: leave one of them out"
        )
    if accelerate in KRYLOV and mode not in (AUTO, "sequential"):
        raise ValueError(
            f"accelerate={accelerate!r} is for mode 'sequential', got mode {mode!r}: "
            "leave one of them out"
        )
    if accelerate == "chebyshev" and mode == "async":
        raise ValueError(
            "accelerate='chebyshev' is for modes 'sequential' and 'threads', got mode 'async': "
            "leave one of them out"
        )
    accelerated = accelerate in (*DEFINITE, *KRYLOV)
    here = mode == "threads" or (mode in (AUTO, "sequential") and accelerated)
    if here and sweep != "forward":
        raise ValueError(
            f"sweep={sweep!r} has no meaning where accelerated solves go forth and back: "
            "leave it out, or use accelerate=None in another mode"
        )


def _check_client(client: Any) -> None:
    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client, got {type(client).__name__}")
    if client.status != "running":
        raise ValueError(f"the client is {client.status}: connect a new one")
    if client.asynchronous:
        raise ValueError("the client is asynchronous: pass one made with asynchronous=False")
