"""One line of a plan: what a mode would take on a number of workers."""

from __future__ import annotations

from dataclasses import dataclass

MODES = {
    "sync": "sync",
    "exact": "exact dataflow",
    "free": "total asynchrony, plain",
    "cg": "total asynchrony, accelerated",
}


@dataclass(frozen=True)
class Forecast:
    """One mode on one number of workers.

    Attributes
    ----------
    mode : str
    workers : int
        As asked for; ``hosts`` of them have something to do, ``blocks`` blocks in all.
    sweeps : int
    seconds : float
        Of the iteration, without set-up; infinite where it does not converge.
    speedup : float
        Seconds of one worker in this mode over `seconds`.
    """

    mode: str
    workers: int
    hosts: int
    blocks: int
    sweeps: int
    seconds: float
    speedup: float

    @property
    def seconds_per_sweep(self) -> float:
        return self.seconds / self.sweeps
