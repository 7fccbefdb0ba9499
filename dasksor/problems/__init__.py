"""Well-known test problems, whole or as row factories (`nblocks`) that build only what is asked."""

from dasksor.problems.dense import dense_spd, seed_rhs
from dasksor.problems.elastic import elasticity
from dasksor.problems.graphs import graph_laplacian, pagerank, power_grid, random_graph
from dasksor.problems.programs import lp
from dasksor.problems.sphere import sphere
from dasksor.problems.stencils import anisotropic, convection_diffusion, poisson

__all__ = [
    "anisotropic",
    "convection_diffusion",
    "dense_spd",
    "elasticity",
    "graph_laplacian",
    "lp",
    "pagerank",
    "poisson",
    "power_grid",
    "random_graph",
    "seed_rhs",
    "sphere",
]
