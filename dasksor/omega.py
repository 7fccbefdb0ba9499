"""The relaxation factor: given, estimated while exact sweeps run, or kept safe under staleness."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Rising caps keep an early overestimate of the spectral radius from overshooting: the ratio of
# changes settles from above where omega is too large, and then says nothing (Hageman and Young).
CAPS = (
    *(1.5, 1.7, 1.8, 1.85, 1.9, 1.925, 1.94, 1.95, 1.96, 1.97, 1.975, 1.98, 1.985, 1.9875),
    *(1.99, 1.9925, 1.995, 1.9965, 1.9975, 1.9985, 1.999),
)
UNLIMITED = 2**62


def optimal(mu: float) -> float:
    """Young's optimum ``2 / (1 + sqrt(1 - mu^2))`` for a Jacobi spectral radius ``mu < 1``."""
    return 2.0 / (1.0 + math.sqrt(1.0 - mu * mu))


def asynchronous_limit(bound: float) -> float:
    """Below ``2 / (1 + bound)`` every asynchronous schedule converges (Chazan and Miranker 1969).

    ``bound >= rho(|J|)``, ``J`` the Jacobi matrix; it proves something only where it is below 1.
    """
    return 2.0 / (1.0 + bound)


def block_limit(coupling: float) -> float:
    """Below ``2 / (1 + coupling)`` block-parallel SOR converges for symmetric positive definite A.

    ``coupling = max_i sum_{j not in block(i)} |a_ij| / a_ii`` (after Mangasarian 1977).
    """
    return 2.0 / (1.0 + coupling)


def price_of_asynchrony(bound: float) -> float:
    """How many stale sweeps do the work of one exact sweep at its best omega.

    Stale sweeps shrink the error like ``bound``, a bound below 1 on ``rho(|J|)``; exact ones at
    Young's optimum like ``omega - 1``. Exact sweeps of a matrix without zeros run block after
    block, so stale ones pay where the price is below the number of threads; it is 2 at least.
    """
    return math.log(optimal(bound) - 1.0) / math.log(bound)


@dataclass
class Given:
    """The user's omega, never touched."""

    omega: float
    origin: str = "given"
    settled: bool = True

    def patience(self) -> int:
        return UNLIMITED

    def observe(self, ratio: float, growth: float) -> None:
        """Nothing that is seen changes a given omega."""


@dataclass
class Estimated:
    """Hageman and Young's adaptive omega for exact sweeps in one direction.

    With eigenvalue ``lam`` of the sweep seen as the ratio of successive changes,
    ``mu = (lam + omega - 1) / (sqrt(lam) omega)`` is the Jacobi spectral radius (Young), and the
    next omega is `optimal` of it, under a rising cap. Read only after enough sweeps at one omega,
    and only where two readings agree.
    """

    omega: float = 1.0
    origin: str = "estimated"
    settled: bool = False
    _cap: int = 0
    _quiet: int = 0
    _seen: float | None = None
    _ceiling: float = 1.999

    def patience(self) -> int:
        """How many sweeps to make before the next look; longer while looks change nothing."""
        return max(5, int((self.omega - 1.0) / (2.0 - self.omega))) << min(self._quiet, 6)

    def observe(self, ratio: float, growth: float) -> None:
        """Take the ratio of the last two changes, and the residual over the best one so far."""
        if growth > 100.0 and self.omega > 1.0:
            self.omega = self._ceiling = 1.0 + (self.omega - 1.0) / 2.0
            self._seen = None
            return
        before, self._seen = self._seen, ratio
        self._quiet += 1
        excess = self.omega - 1.0
        if before is None or not excess < ratio < 1.0:
            return
        drift = abs(before - ratio)
        if drift > 0.1 * (1.0 - ratio) and drift > 0.1 * (ratio - excess):
            return
        mu = (ratio + excess) / (math.sqrt(ratio) * self.omega)
        wanted = optimal(mu) if mu < 1.0 else self._ceiling
        cap = CAPS[min(self._cap, len(CAPS) - 1)]
        self._cap += wanted > cap
        # Six digits: partial sums of other blocks differ in their last bits, omega shall not.
        wanted = round(min(wanted, cap, self._ceiling), 6)
        if 2.0 - wanted < 0.97 * (2.0 - self.omega):
            self.omega = wanted
            self._seen, self._quiet = None, 0


@dataclass
class Cautious:
    """For stale or symmetric sweeps: starts in a safe place, backs off when residuals grow."""

    omega: float
    origin: str

    @property
    def settled(self) -> bool:
        return self.origin == "proven"

    def patience(self) -> int:
        return UNLIMITED

    def observe(self, ratio: float, growth: float) -> None:
        """Halve the over-relaxation when the residual is four times its best; below 1, damp."""
        if self.origin == "heuristic" and growth > 4.0:
            over = self.omega - 1.0
            self.omega = round(1.0 + over / 2.0 if over > 0.05 else 0.8 * self.omega, 6)


Relaxation = Given | Estimated | Cautious


def for_stale_sweeps(dominance: float, coupling: float) -> Cautious:
    """Choose omega where blocks read old values.

    Proven for every schedule where A is strictly diagonally dominant; elsewhere the limit of
    block-parallel SOR for symmetric positive definite matrices is taken, as a heuristic.
    """
    if dominance < 1.0:
        return Cautious(min(1.0, 0.99 * asynchronous_limit(dominance)), "proven")
    return Cautious(round(min(1.6, max(1.0, 0.95 * block_limit(coupling))), 6), "heuristic")
