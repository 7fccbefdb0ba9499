"""What a step of an accelerated run minimises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRule:
    """A step along ``p`` with ``q = A p``, by inner products with a test vector ``t``.

    ``p`` is freed of the directions kept by ``t_i'q = 0``; its length is ``t'r / t'q``.

    Attributes
    ----------
    name : str
        The name that `dasksor.solve` gives to it.
    kept : int
        Directions kept.
    is_residual : bool
        Whether ``t = q``, which minimises the norm of the residual for any ``A`` (GCR, Eisenstat,
        Elman and Schultz 1983); else ``t = p``, which minimises the energy norm of the error.
    is_bounded : bool
        Whether the step keeps between bounds, as the passes do: gradient projection. The least
        energy along ``p``, but never beyond a bound (Mangasarian and De Leone 1988).
    """

    name: str
    kept: int
    is_residual: bool
    is_bounded: bool = False

    @property
    def starts_coarse(self) -> bool:
        """Whether the coarse correction comes before the passes.

        It leaves jumps between aggregates, which energy hardly counts and residuals do: there,
        passes have to smooth it.
        """
        return self.is_residual


ENERGY = StepRule("cg", 3, is_residual=False)
# With ten kept the sweeps still grow with the grid; with three, cycles may stand still.
RESIDUAL = StepRule("gcr", 20, is_residual=True)
PROJECTION = StepRule("projection", 0, is_residual=False, is_bounded=True)
