"""Studies with a name: sizes and numbers chosen for two cores and a quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dasksor.study.grid import NONE, Grid, Product

# Blocks change one vector and never wait, or meet after each sweep.
PEER_MODES = ("asynchronous", "synchronous")


@dataclass(frozen=True)
class Preset:
    """A grid in two sizes.

    Attributes
    ----------
    title : str
        The question it answers.
    grid : callable
        Called with whether the study has to be quick.
    predicts : bool
        Whether the planner knows its problem, so that measuring the machine first is worth it.
    """

    title: str
    grid: Callable[[bool], Grid]
    predicts: bool = False


def _seed(quick: bool) -> Grid:
    problems = tuple(f"dense:{n}" for n in ((1000,) if quick else (1000, 2000, 3000, 5000)))
    workers = (1, 2, 4) if quick else (1, 2, 4, 8, 14, 20)
    alone = (1,)
    return Grid.of(
        Product(problems, alone, ("sequential",), accelerate=(NONE,)),
        Product(problems, workers, ("async",), accelerate=("cg",)),
        Product(problems, workers, ("sync",)),
        Product(problems, workers, PEER_MODES, "c"),
        Product(problems, workers, ("asynchronous",), "dispy"),
        Product(problems, alone, ("sequential",), "pyamg"),
        name="seed", repeats=1 if quick else 2, rtol=1e-6, timeout=10.0 if quick else 30.0,
    )  # fmt: skip


def _poisson(quick: bool) -> Grid:
    problems = ("poisson:100x100",) if quick else ("poisson:300x300", "poisson:40x40x40")
    workers = (1, 2) if quick else (1, 2, 4)
    products = [
        Product(problems, (1,), ("sequential",), accelerate=(NONE, "cg")),
        Product(problems, (1,), ("threads",)),
        Product(problems, workers, ("async",)),
        Product(problems, (1,), ("sequential",), "pyamg"),
        Product(problems, (1,), ("sequential",), "scipy-cg"),
    ]
    if not quick:
        # A sweep is a task graph: on larger grids than this one it takes minutes.
        products.append(Product(("poisson:100x100",), workers, ("sync", "async")))
    return Grid.of(
        *products,
        name="poisson", repeats=1 if quick else 3, rtol=1e-6, timeout=10.0 if quick else 40.0,
    )  # fmt: skip


def _stragglers(quick: bool) -> Grid:
    problems = ("dense:1000",) if quick else ("dense:2000", "poisson:100x100", "heat:300x300")
    workers = (2,) if quick else (2, 4)
    both = ("dasksor", "dasksor-slow")
    return Grid.of(
        *(Product(problems, workers, ("sync", "async"), system) for system in both),
        # Free sweeps as they are, where their convergence is proven.
        *(
            Product((problem,), workers, ("async",), system, (NONE,), accelerate=(NONE,))
            for system in both
            for problem in problems
            if not problem.startswith("poisson")
        ),
        name="stragglers", repeats=1 if quick else 3, rtol=1e-6, timeout=10.0 if quick else 40.0,
    )  # fmt: skip


def _mailboxes(quick: bool) -> Grid:
    small = ("poisson:100x100",)
    problems = small if quick else (*small, "poisson:300x300", "dense:2000")
    sizes = ("message:8000", "message:800000")
    workers = (2,) if quick else (2, 4, 8)
    kinds = ("shared", "direct", "variables")
    return Grid.of(
        Product(problems, workers, ("async",), mailboxes=kinds),
        Product(sizes, workers, ("message",), mailboxes=kinds),
        Product(sizes, (2,), ("message",), "pycos"),
        name="mailboxes", repeats=1 if quick else 2, rtol=1e-6, timeout=10.0 if quick else 20.0,
    )  # fmt: skip


PRESETS = {
    "seed": Preset("dense matrices of the founding project beside its systems", _seed),
    "poisson": Preset("Poisson's equation in every mode, measured and predicted", _poisson, True),
    "stragglers": Preset("one worker five times slower than the others", _stragglers),
    "mailboxes": Preset("what carries slices, and what it costs", _mailboxes),
}
