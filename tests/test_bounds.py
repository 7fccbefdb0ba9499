"""Systems with bounds, in every storage and every mode, against dense references."""

import gc

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from dask.sizeof import sizeof
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    FORMATS,
    bounded_problem,
    dense_bounded_sweep,
    directions,
    natural_residual,
    omegas,
    random_dominant,
    random_spd,
    seeds,
    sizes,
)
from test_checkpoint import PowerCutError, cut_after
from test_cluster import after

import dasksor
from dasksor import Status, problems
from dasksor.analysis import row_facts
from dasksor.bounded_rows import with_bounds
from dasksor.dense_rows import DenseRows
from dasksor.partition import Partition
from dasksor.rows import prepare_rows
from dasksor.sparse_rows import CsrRows, DiagonalRows, TripleRows

pytestmark = pytest.mark.usefixtures("tidy")

INFINITE = (-np.inf, np.inf)
GRID = problems.poisson((12, 17))
RNG = np.random.default_rng(6)
NODES = np.kron(RNG.random((30, 30)) < 0.4, np.ones((3, 3))) * RNG.uniform(-1.0, 1.0, (90, 90))
STORAGES = {
    CsrRows: sp.csr_array(random_dominant(RNG, 150)),
    DiagonalRows: problems.poisson((20, 30)),
    TripleRows: sp.csr_array(NODES - np.diag(NODES.diagonal()) + 60.0 * np.eye(90)),
    DenseRows: problems.dense_spd(70, dominance=0.5),
}


def positive(A):
    """The same with a positive diagonal."""
    return A * np.sign(A.diagonal())[:, None]


def random_bounds(rng, n):
    """Bounds of both sides, one side or none, some of them equal."""
    lower, upper = np.sort(rng.uniform(-1.0, 1.0, (2, n)), axis=0)
    upper = np.where(rng.random(n) < 0.1, lower, upper)
    lower[rng.random(n) < 0.3] = -np.inf
    upper[rng.random(n) < 0.3] = np.inf
    return lower, upper


# Sweeps and residuals


@pytest.mark.parametrize("kind", STORAGES)
@settings(max_examples=10)
@given(seeds, omegas, directions, st.integers(1, 3))
def test_every_storage_clips_each_value_at_once(kind, seed, omega, direction, nrhs):
    A, rng = positive(STORAGES[kind]), np.random.default_rng(seed)
    A = sp.csr_array(A) if sp.issparse(A) else A
    n = A.shape[0]
    b, bounds = rng.uniform(-1.0, 1.0, (nrhs, n)), random_bounds(rng, n)
    x = np.clip(rng.uniform(-1.0, 1.0, (nrhs, n)), *bounds)
    dense = A.toarray() if sp.issparse(A) else A
    pairs = list(zip(b, x, strict=True))
    expected = [dense_bounded_sweep(dense, *bx, omega, bounds, direction) for bx in pairs]
    rows = with_bounds(prepare_rows(A, 0), np.stack(bounds), 0)
    assert isinstance(rows.free, kind)
    r, new = np.empty_like(x), x.copy()
    rows.residual(x, b, r)
    natural = [natural_residual(dense, *bx, bounds) for bx in pairs]
    np.testing.assert_allclose(r, natural, rtol=1e-10, atol=1e-13)
    (change,) = rows.sweep(new, b, omega, direction)
    np.testing.assert_allclose(new, expected, rtol=1e-12, atol=1e-14)
    assert (new >= bounds[0]).all()
    assert (new <= bounds[1]).all()
    assert change == pytest.approx(np.sum((new - x) ** 2))


def test_half_of_a_dense_symmetric_matrix_is_enough_with_bounds():
    A = problems.dense_spd(530, dominance=0.9)
    rows = with_bounds(prepare_rows(A, 0), np.stack([np.zeros(530), np.full(530, 0.01)]), 0)
    assert rows.free.symmetric
    b = np.random.default_rng(0).uniform(-1.0, 1.0, 530)
    x, y = np.zeros((1, 530)), np.zeros(530)
    for direction in (1, -1):
        rows.sweep(x, b[None], 1.3, direction)
        y = dense_bounded_sweep(A, b, y, 1.3, (rows.lower, rows.upper), direction)
        np.testing.assert_allclose(x[0], y, rtol=1e-11)


@pytest.mark.parametrize("kind", STORAGES)
@pytest.mark.parametrize("count", [1, 4])
def test_infinite_bounds_change_no_bit_of_sweeps_and_residuals(kind, count):
    A = positive(STORAGES[kind])
    free = prepare_rows(sp.csr_array(A) if sp.issparse(A) else A, 0)
    n = free.size
    rows = with_bounds(free, np.stack([np.full(n, bound) for bound in INFINITE]), 0)
    b, x, r, s = np.random.default_rng(1).standard_normal((4, 2, n))
    y = x.copy()
    for direction in (1, -1):
        np.testing.assert_array_equal(
            rows.sweep(x, b, 1.4, direction, count), free.sweep(y, b, 1.4, direction, count)
        )
        np.testing.assert_array_equal(x, y)
    rows.residual(x, b, r)
    free.residual(x, b, s)
    np.testing.assert_array_equal(r, s)


def test_bounded_rows_are_as_large_as_what_they_hold_and_look_like_free_ones():
    free = prepare_rows(GRID, 0)
    rows = with_bounds(free, np.zeros((2, 204)), 0)
    assert sizeof(rows) == sizeof(free) + 2 * 8 * 204
    partition = Partition((0, 204))
    assert row_facts(rows, partition) == row_facts(free, partition)
    np.testing.assert_array_equal(
        rows.summed(np.zeros(204, int), 1).toarray(), free.summed(np.zeros(204, int), 1).toarray()
    )


# Known solutions


@settings(max_examples=25)
@given(seeds, sizes, st.booleans(), st.sampled_from(["forward", "backward", "symmetric"]))
def test_known_solutions_are_found_with_their_active_sets(seed, n, symmetric, sweep):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n) if symmetric else positive(random_dominant(rng, n))
    b, bounds, x = bounded_problem(rng, A)
    result = dasksor.solve(A, b, bounds=bounds, rtol=1e-11, sweep=sweep, maxiter=100_000)
    assert result.success
    np.testing.assert_allclose(result.x, x, atol=1e-7)
    assert (result.x >= bounds[0]).all()
    assert (result.x <= bounds[1]).all()
    audit = np.linalg.norm(natural_residual(A, b, result.x, bounds))
    assert result.residual_norm == pytest.approx(audit, rel=1e-3, abs=1e-13)
    assert result.residual(A, b, bounds) == pytest.approx(audit, rel=1e-3, abs=1e-13)
    gradient = A @ x - b
    np.testing.assert_array_equal(result.active, np.sign(-gradient).round(12) * (gradient != 0))
    np.testing.assert_allclose(result.multipliers, gradient, atol=1e-6)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_every_format_has_bounds(name):
    rng = np.random.default_rng(2)
    A = positive(random_dominant(rng, 9, connected=True))
    b, bounds, x = bounded_problem(rng, A)
    result = dasksor.solve(FORMATS[name](A), b, bounds=bounds, rtol=1e-10, mode="sequential")
    np.testing.assert_allclose(result.x, x, atol=1e-8)
    np.testing.assert_allclose(result.multipliers, A @ x - b, atol=1e-8)
    assert result.residual(FORMATS[name](A), b, bounds) <= result.target


@pytest.fixture(scope="module")
def obstacle():
    """Poisson's equation between bounds that hold in many places."""
    rng = np.random.default_rng(3)
    return bounded_problem(rng, GRID)


MODES = {
    "sequential": {"mode": "sequential"},
    "sync": {"mode": "sync", "blocks": 4},
    **{f"async {age}": {"mode": "async", "blocks": 4, "staleness": age} for age in (0, 1, 3, None)},
    "async": {"mode": "async"},
}


@pytest.mark.parametrize("options", MODES.values(), ids=MODES)
def test_every_mode_finds_the_solution(processes, obstacle, options):
    b, bounds, x = obstacle
    options = options if options["mode"] == "sequential" else options | {"client": processes}
    result = dasksor.solve(GRID, b, bounds=bounds, rtol=1e-9, **options)
    assert result.success
    np.testing.assert_allclose(result.x, x, atol=1e-7)
    assert result.residual(GRID, b, bounds) <= result.target * 1.001
    np.testing.assert_array_equal(result.active, np.sign(b - GRID @ x).round(12))
    assert "natural residual norm" in str(result)
    assert result.to_dict()["bounded"]


@pytest.mark.parametrize("age", [0, 2, None])
@pytest.mark.parametrize("deaths", [0, 2])
def test_simulated_runs_find_the_solution(obstacle, age, deaths):
    b, bounds, x = obstacle
    found = dasksor.simulate(
        GRID, b, bounds=bounds, rtol=1e-9, staleness=age, loss=0.1, deaths=deaths, seed=4
    )
    assert found.result.success
    np.testing.assert_allclose(found.result.x, x, atol=1e-7)


# Free sweeps with a line search


@settings(max_examples=15)
@given(
    seeds,
    st.integers(2, 24),
    st.integers(1, 5),
    st.floats(0.2, 1.95),
    st.sampled_from(["forward", "symmetric"]),
)
def test_a_line_search_makes_every_omega_safe(seed, n, blocks, omega, sweep):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n) + 0.5 * np.eye(n)
    (b, bounds, _), (other, _, _) = (bounded_problem(rng, A) for _ in range(2))
    both = np.stack([b, other], axis=1)
    found = dasksor.simulate(
        A, both, bounds=bounds, staleness=None, omega=omega, blocks=min(blocks, n), workers=3,
        rtol=1e-5, maxiter=20_000, sweep=sweep, seed=seed,
    )  # fmt: skip
    result = found.result
    assert result.success
    assert result.accelerate == "cg"
    for j in (0, 1):
        natural = natural_residual(A, both[:, j], result.x[:, j], bounds)
        assert np.linalg.norm(natural) <= result.target[j] * 1.001
    assert (bounds[0] <= result.x.T).all()
    assert (bounds[1] >= result.x.T).all()


def test_free_sweeps_that_diverge_alone_converge_with_a_line_search():
    A, b = problems.poisson((24, 24)), np.full(576, -0.003)
    options = {"bounds": (-0.01, np.inf), "workers": 4, "blocks": 4, "staleness": None}
    alone = dasksor.simulate(A, b, omega=1.9, accelerate=None, maxiter=500, **options).result
    assert not alone.success
    found = dasksor.simulate(A, b, omega=1.9, rtol=1e-8, **options).result
    assert found.success
    assert found.accelerate == "cg"
    safe = dasksor.simulate(A, b, rtol=1e-8, deaths=2, seed=3, **options).result
    assert (safe.success, safe.omega, safe.omega_origin) == (True, 1.6, "proven")
    np.testing.assert_array_equal(safe.active, found.active)
    exact = dasksor.solve(A, b, bounds=(-0.01, np.inf), rtol=1e-11, mode="sequential")
    np.testing.assert_allclose(found.x, exact.x, atol=1e-7)


def test_a_direction_without_an_end_is_told():
    A = sp.csr_array(sp.block_diag([problems.poisson((5, 5)), np.array([[1.0, 3.0], [3.0, 1.0]])]))
    b = np.r_[np.ones(25), 1.0, -1.0]
    result = dasksor.simulate(A, b, bounds=(-50.0, 50.0), staleness=None, blocks=1).result
    assert not result.success


@pytest.mark.parametrize("options", list(MODES.values())[:3], ids=list(MODES)[:3])
def test_infinite_bounds_change_no_bit_of_a_run(processes, options):
    b = np.sin(np.arange(204.0))
    options = options if options["mode"] == "sequential" else options | {"client": processes}
    options |= {"sweep": "symmetric", "omega": 1.3}
    free = (
        after(6, GRID, b, accelerate=None, **options)
        if options["mode"] != "sync"
        else after(6, GRID, b, **options)
    )
    bounded = after(6, GRID, b, bounds=INFINITE, **options)
    np.testing.assert_array_equal(bounded.x, free.x)
    assert bounded.residual_norm == free.residual_norm
    assert not bounded.active.any()
    assert not bounded.multipliers.any()
    assert free.active is free.multipliers is None


@pytest.mark.parametrize("age", [0, 2, None])
def test_infinite_bounds_change_no_bit_of_a_simulated_run(age):
    b = np.sin(np.arange(204.0))
    options = {"staleness": age, "accelerate": None, "rtol": 1e-6, "seed": 5}
    free, bounded = (
        dasksor.simulate(GRID, b, bounds=bounds, **options) for bounds in (None, INFINITE)
    )
    assert bounded.trace == free.trace
    np.testing.assert_array_equal(bounded.result.x, free.result.x)


def test_infinite_bounds_change_no_bit_of_an_estimated_omega():
    b = np.sin(np.arange(204.0))
    free, bounded = (
        dasksor.solve(GRID, b, mode="sequential", bounds=bounds) for bounds in (None, INFINITE)
    )
    np.testing.assert_array_equal(bounded.x, free.x)
    assert [m[1:] for m in bounded.history] == [m[1:] for m in free.history]


def test_exact_modes_are_bit_for_bit_the_sequential_sweeps(processes, obstacle):
    b, bounds, _ = obstacle
    expected = after(7, GRID, b, mode="sequential", omega=1.3, bounds=bounds)
    for mode, exact in (("sync", {}), ("async", {"staleness": 0})):
        found = after(
            7, GRID, b, mode=mode, omega=1.3, bounds=bounds, blocks=3, client=processes, **exact
        )
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.multipliers, expected.multipliers)


def test_a_cut_run_goes_on_with_its_bounds(processes, threads, tmp_path, obstacle):
    b, bounds, _ = obstacle
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, b, bounds=bounds, mode="async", staleness=0, omega=1.4, rtol=1e-9, blocks=3,
            client=processes, checkpoint=tmp_path, checkpoint_every=0.0,
            callback=cut_after(20, tmp_path),
        )  # fmt: skip
    result = dasksor.resume(tmp_path, client=threads)
    assert result.success
    expected = after(result.sweeps, GRID, b, omega=1.4, bounds=bounds, mode="sequential")
    np.testing.assert_array_equal(result.x, expected.x)
    np.testing.assert_array_equal(result.active, expected.active)


# Right-hand sides, starts, Dask


def test_several_right_hand_sides_have_the_same_bounds(obstacle):
    b, bounds, x = obstacle
    both = np.stack([b, -b], axis=1)
    result = dasksor.solve(GRID, both, bounds=bounds, rtol=1e-10, mode="sequential")
    np.testing.assert_allclose(result.x[:, 0], x, atol=1e-7)
    assert result.active.shape == result.multipliers.shape == (204, 2)
    for j in (0, 1):
        one = natural_residual(GRID, both[:, j], result.x[:, j], bounds)
        assert np.linalg.norm(one) <= result.target[j] * 1.001


@pytest.mark.parametrize("mode", ["sequential", "sync"])
def test_a_start_is_moved_between_the_bounds(processes, mode):
    client = {} if mode == "sequential" else {"client": processes}
    for x0, expected in ((None, 0.5), (np.full(204, 7.0), 1.0)):
        result = after(0, GRID, np.ones(204), x0=x0, bounds=(0.5, 1.0), mode=mode, **client)
        assert (result.x == expected).all()


@pytest.mark.parametrize("mode", ["sequential", "sync", "async"])
def test_dask_arrays_everywhere(processes, obstacle, mode):
    b, bounds, x = obstacle
    A = da.from_array(GRID.toarray(), chunks=(80, 120))
    lower, upper, rhs = (da.from_array(v, chunks=50) for v in (*bounds, b))
    client = {} if mode == "sequential" else {"client": processes}
    result = dasksor.solve(A, rhs, bounds=(lower, upper), rtol=1e-9, mode=mode, **client)
    vectors = result.x, result.active, result.multipliers
    assert all(isinstance(vector, da.Array) for vector in vectors)
    scheduler = "threads" if mode == "sequential" else processes
    found, active, multipliers = (v.compute(scheduler=scheduler) for v in vectors)
    assert result.x.dtype == np.float64
    del result, vectors
    gc.collect()
    np.testing.assert_allclose(found, x, atol=1e-6)
    np.testing.assert_array_equal(active, np.sign(b - GRID @ x).round(12))
    np.testing.assert_allclose(multipliers, GRID @ x - b, atol=1e-6)
    assert active.dtype == np.int8


def test_rows_built_on_the_workers(processes, obstacle):
    b, bounds, x = obstacle
    A = dasksor.from_blocks(lambda i, j: problems.poisson((12, 17))[i:j], (204, 204), 3)
    result = dasksor.solve(A, b, bounds=bounds, rtol=1e-9, client=processes)
    np.testing.assert_allclose(result.x, x, atol=1e-6)
    np.testing.assert_allclose(result.multipliers, GRID @ x - b, atol=1e-6)


def test_a_prepared_matrix_has_bounds_for_each_solve(obstacle):
    b, bounds, x = obstacle
    ready = dasksor.prepare(GRID)
    for given_bounds, expected in ((bounds, x), (None, np.linalg.solve(GRID.toarray(), b))):
        result = ready.solve(b, bounds=given_bounds, rtol=1e-10)
        np.testing.assert_allclose(result.x, expected, atol=1e-7)
        assert (result.active is None) == (given_bounds is None)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_lazy_sweep_clips(obstacle, direction):
    b, bounds, _ = obstacle
    x = np.clip(np.cos(np.arange(204.0)), *bounds)
    sign = 1 if direction == "forward" else -1
    expected = dense_bounded_sweep(GRID.toarray(), b, x, 1.4, bounds, sign)
    lower = da.from_array(bounds[0], chunks=30)
    for some in (bounds, (lower, bounds[1])):
        new = dasksor.sweep(GRID, b, x, 1.4, direction=direction, bounds=some)
        np.testing.assert_allclose(new.compute(scheduler="threads"), expected, rtol=1e-12)


# What is refused


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        ((0.0, [1.0, -2.0, 1.0]), ValueError, "lower bound 0 is above the upper bound -2 at row 1"),
        ((np.nan, 1.0), ValueError, "lower bound is nan at row 0"),
        ((0.0, [1.0, 1.0, np.nan]), ValueError, "upper bound is nan at row 2"),
        ((np.inf, np.inf), ValueError, "lower bound is inf at row 0: use a number, or -inf"),
        ((-np.inf, -np.inf), ValueError, "upper bound is -inf at row 0: use a number, or inf"),
        ((0.0, [1.0, 1.0]), ValueError, r"upper bound has shape \(2,\) but A has shape \(3, 3\)"),
        ((0.0, 1j), TypeError, "upper bound has dtype complex128"),
        ((0.0, None), TypeError, "upper bound has dtype object: use real numbers, -inf or inf"),
        (0.0, ValueError, r"bounds must be a pair \(lower, upper\), got float"),
        ((0.0, 1.0, 2.0), ValueError, r"bounds must be a pair \(lower, upper\), got tuple"),
    ],
)
def test_bad_bounds_are_named(bounds, error, message):
    for call in (dasksor.solve, dasksor.simulate):
        with pytest.raises(error, match=message):
            call(np.eye(3) * 2.0, np.ones(3), bounds=bounds)


def test_bounds_need_a_positive_diagonal(processes):
    A = np.diag([1.0, 2.0, -3.0])
    message = "bounds need a positive diagonal, got -3 in row 2: state the problem"
    with pytest.raises(ValueError, match=message):
        dasksor.solve(A, np.ones(3), bounds=(0.0, 1.0))
    there = da.from_array(A, chunks=2)
    for mode in ("sync", "async"):
        with pytest.raises(ValueError, match=message):
            dasksor.solve(there, np.ones(3), bounds=(0.0, 1.0), mode=mode, client=processes)
    assert dasksor.solve(A, np.ones(3)).success
    gc.collect()


def test_bad_bounds_that_only_workers_see(processes):
    lower = da.from_array(np.array([0.0, 0.0, 5.0, 0.0]), chunks=2)
    with pytest.raises(ValueError, match="lower bound 5 is above the upper bound 1 at row 2"):
        dasksor.solve(
            np.eye(4) * 2.0, np.ones(4), bounds=(lower, 1.0), mode="sync", client=processes
        )
    gc.collect()


@pytest.mark.parametrize(
    "options",
    [
        *({"accelerate": name} for name in ("chebyshev", "bicgstab", "gmres")),
        {"accelerate": "gcr", "mode": "async"},
    ],
)
def test_what_knows_no_bounds_is_refused(options):
    with pytest.raises(ValueError, match="knows no bounds"):
        dasksor.solve(GRID, np.ones(204), bounds=(0.0, 1.0), **options)


def test_a_bound_in_an_unbounded_direction_is_said_to_diverge():
    # Not an M-matrix, and unbounded below in between.
    A = np.array([[1.0, -3.0], [-3.0, 1.0]])
    result = dasksor.solve(A, np.ones(2), bounds=(0.0, np.inf), mode="sequential")
    assert result.status is Status.DIVERGED
    assert (result.x >= 0.0).all()
