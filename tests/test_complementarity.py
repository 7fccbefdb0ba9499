"""``dasksor.lcp`` and ``dasksor.qp``: known solutions, statuses, refusals, the command line."""

import json
import os
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import random_dominant, random_spd, seeds
from scipy.io import mmwrite
from scipy.optimize import lsq_linear

import dasksor
from dasksor import NotConverged, Status, problems
from dasksor.cli import main

SIZES = st.one_of(st.integers(1, 12), st.integers(13, 200))
HERE = [{"mode": "sequential"}, {"mode": "sequential", "omega": 0.8}, {}]
MODES = [
    {"mode": "sync", "blocks": 3},
    {"mode": "async", "staleness": 0, "blocks": 5},
    {"mode": "async", "staleness": 2, "blocks": 3},
    {"mode": "async", "staleness": None, "blocks": 4},
]


def known(rng, M):
    """``q``, ``z`` and ``w`` that solve an LCP with matrix ``M``, some pairs both zero."""
    kind, n = rng.integers(3, size=len(M)), len(M)
    z = np.where(kind == 0, rng.uniform(0.1, 1.0, n), 0.0)
    w = np.where(kind == 1, rng.uniform(0.1, 1.0, n), 0.0)
    return w - M @ z, z, w


def dominant(rng, n):
    """Strictly diagonally dominant, not symmetric, with a positive diagonal."""
    A = random_dominant(rng, n, dominance=0.8)
    return A * np.sign(A.diagonal())[:, None]


def definite(rng, n):
    A = random_spd(rng, n)
    return A / np.abs(A).sum(axis=1).max() + 0.05 * np.eye(n)


def assert_holds(result, M, q, z, w, rtol):
    """The result is right, and says so of the very vectors that it has."""
    assert result.success, str(result)
    tol = rtol * np.linalg.norm(q)
    assert result.target == pytest.approx(tol, rel=1e-12)
    np.testing.assert_allclose(result.w, M @ result.z + q, rtol=0, atol=1e-13)
    assert min(result.z.min(), result.w.min()) >= -tol
    assert result.violation == max(0.0, -result.z.min(), -result.w.min())
    assert result.complementarity == pytest.approx(result.z @ result.w, rel=1e-9, abs=1e-300)
    assert np.linalg.norm(np.minimum(result.z, result.w)) <= tol
    assert abs(result.complementarity) <= tol * (
        np.linalg.norm(result.z) + np.linalg.norm(result.w)
    )
    bound = 1e3 * tol + 1e-12
    np.testing.assert_allclose(result.z, z, rtol=0, atol=bound)
    np.testing.assert_allclose(result.w, w, rtol=0, atol=bound)


# Known solutions


@settings(max_examples=40)
@given(seeds, SIZES, st.sampled_from([dominant, definite]), st.sampled_from(HERE))
@example(0, 1, definite, {})
def test_known_solutions_are_found(seed, n, kind, options):
    rng = np.random.default_rng(seed)
    M = kind(rng, n)
    q, z, w = known(rng, M)
    form = sp.csr_array if rng.random() < 0.5 else np.asarray
    z0 = rng.standard_normal(n) if rng.random() < 0.5 else None
    result = dasksor.lcp(form(M), q, z0, rtol=1e-8, **options)
    assert_holds(result, M, q, z, w, 1e-8)


@pytest.mark.parametrize("options", MODES, ids=str)
@settings(max_examples=4)
@given(seeds, st.integers(5, 60), st.sampled_from([dominant, definite]))
def test_workers_find_them_too(threads, options, seed, n, kind):
    rng = np.random.default_rng(seed)
    M = kind(rng, n)
    q, z, w = known(rng, M)
    result = dasksor.lcp(M, q, rtol=1e-8, client=threads, maxiter=50_000, **options)
    assert_holds(result, M, q, z, w, 1e-8)
    if options.get("staleness", 0) == 0:
        alone = dasksor.lcp(M, q, rtol=1e-8, mode="sequential")
        np.testing.assert_array_equal(result.z, alone.z)


@given(seeds, st.integers(4, 40), st.sampled_from([0, 1, None]))
@settings(max_examples=8)
def test_schedules_find_them_too(seed, n, staleness):
    rng = np.random.default_rng(seed)
    M = dominant(rng, n)
    q, z, _ = known(rng, M)
    run = dasksor.simulate(
        M, -q, bounds=(0.0, np.inf), workers=3, staleness=staleness, loss=0.1, rtol=1e-8, seed=seed
    )
    assert run.result.success
    assert run.result.x.min() >= 0.0
    np.testing.assert_allclose(run.result.x, z, rtol=0, atol=1e3 * run.result.target + 1e-12)


def _rows(start, stop, M):
    return M[start:stop]


@pytest.mark.parametrize("lazy", [False, True])
def test_matrices_and_vectors_on_workers(threads, lazy):
    rng = np.random.default_rng(2)
    M = sp.csr_array(dominant(rng, 30))
    q, z, w = known(rng, M.toarray())
    given = da.from_array(q, chunks=9) if lazy else q
    factory = dasksor.from_blocks(partial(_rows, M=M), M.shape, 3)
    result = dasksor.lcp(factory, given, rtol=1e-8, client=threads)
    assert isinstance(result.w, da.Array) == isinstance(result.z, da.Array) == lazy
    with threads.as_current():
        found, image = (np.asarray(vector) for vector in (result.z, result.w))
    assert result.success
    np.testing.assert_allclose(found, z, atol=1e-6)
    np.testing.assert_allclose(image, w, atol=1e-6)


def test_small_diagonals_do_not_hide_a_residual():
    M, q = 1e-6 * np.eye(2), np.array([-1.0, 1.0])
    result = dasksor.lcp(M, q, np.array([0.0, 5.0]))
    assert result.success
    np.testing.assert_allclose(result.z, [1e6, 0.0], rtol=1e-5)
    assert result.residual_norm <= 1e-5 * np.linalg.norm(q)
    assert (result.rtol, result.atol) == (1e-5, 0.0)


@given(seeds)
@settings(max_examples=10)
def test_tolerances_below_rounding_claim_nothing(seed):
    rng = np.random.default_rng(seed)
    M = definite(rng, 9)
    q, *_ = known(rng, M)
    result = dasksor.lcp(M, q, rtol=3e-17, maxiter=400)
    tol = 3e-17 * np.linalg.norm(q)
    holds = np.linalg.norm(np.minimum(result.z, result.w)) <= tol
    assert not result.success or holds


# What has no solution


@pytest.mark.parametrize(
    ("M", "q", "row"),
    [
        ([[-1.0]], [-1.0], 0),
        ([[0.0]], [-2.0], 0),
        ([[2.0, 1.0], [-1.0, 0.0]], [1.0, -1.0], 1),
        (sp.csr_array(([3.0, -1.0], ([0, 1], [0, 0])), shape=(2, 2)), [-3.0, -1.0], 1),
    ],
)
def test_a_row_proves_that_there_is_no_solution(M, q, row):
    result = dasksor.lcp(M, q)
    assert result.status is Status.INFEASIBLE
    assert (result.info, result.sweeps) == (-1, 0)
    assert f"w_{row} < 0 for every z >= 0" in str(result)
    assert result.violation > 0.0
    json.dumps(result.to_dict())
    with pytest.raises(NotConverged, match="no solution"):
        dasksor.lcp(M, q, raise_on_failure=True)


@pytest.mark.parametrize("staleness", [0, None])
def test_without_a_solution_there_is_no_success(staleness):
    M, q = np.array([[1.0, -1.0], [-1.0, 1.0]]), [-1.0, -1.0]
    result = dasksor.lcp(M, q, mode="async", staleness=staleness, blocks=2)
    assert result.status in (Status.MAXITER, Status.STAGNATED, Status.DIVERGED)


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_rows_that_zero_suits_need_no_diagonal(form):
    M = form([[-1.0, 2.0, 0.0], [5.0, 2.0, -1.0], [0.0, 0.0, 4.0]])
    result = dasksor.lcp(M, [0.5, -3.0, -4.0], [1.0, 1.0, 1.0], rtol=1e-9)
    np.testing.assert_allclose(result.z, [0.0, 2.0, 1.0], rtol=1e-8)
    np.testing.assert_allclose(result.w, [4.5, 0.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(result.multipliers, [4.5, 0.0, 0.0], atol=1e-7)
    assert result.success
    assert result.active.tolist() == [-1, 0, 0]


def test_bad_input_is_refused():
    M = np.eye(2)
    for words, call in (
        (r"q must be one vector of 2 entries, got shape \(2, 1\)", lambda: ([*M], [[1.0], [2.0]])),
        ("q has shape", lambda: (M, [1.0, 2.0, 3.0])),
        ("q has nan", lambda: (M, [1.0, np.nan])),
        (r"M\[1, 1\] is -1: projected SOR needs", lambda: (np.diag([1.0, -1.0]) - 1e-9, [1, 1])),
        (r"M\[0, 0\] is 0: .* use a pivoting method", lambda: ([[0.0, -1], [1, 1]], [0.0, 1])),
        ("is nan", lambda: ([[-1.0, np.nan], [0.0, 1.0]], [1.0, 1.0])),
        (r"M\[0, 0\] is -1", lambda: ([[-1.0, np.nan], [0.0, 1.0]], [-1.0, 1.0])),
        ("must be square", lambda: (np.ones((2, 3)), [1.0, 2.0])),
    ):
        with pytest.raises(ValueError, match=words):
            dasksor.lcp(*call())
    with pytest.raises(ValueError, match="z0 has shape"):
        dasksor.lcp(M, [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="rtol must be"):
        dasksor.lcp(M, [1.0, 2.0], rtol=-1.0)
    with pytest.raises(TypeError, match="speed"):
        dasksor.lcp(M, [1.0, 2.0], speed=3)


# Real problems


def shared_lcp(name):
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("DASKSOR_DATA", default)) / f"lcp_{name}.dat"
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: name its folder in DASKSOR_DATA")
    text = " ".join(line.split("#")[0] for line in path.read_text().splitlines())
    numbers = np.array(text.split(), dtype=float)
    n = int(numbers[0])
    return numbers[6 : 6 + n * n].reshape(n, n), numbers[6 + n * n :]


@pytest.mark.parametrize("name", ["deudeu", "exp_murty", "mmc", "ortiz", "tobenna"])
def test_real_problems(name):
    M, q = shared_lcp(name)
    result = dasksor.lcp(M, q, rtol=1e-9)
    if name == "tobenna":
        assert result.status is Status.INFEASIBLE
        assert M[32].max() <= 0.0 > q[32]
        return
    assert result.success
    assert result.z.min() >= 0.0
    assert np.linalg.norm(np.minimum(result.z, M @ result.z + q)) <= 1e-9 * np.linalg.norm(q)


# Quadratic programs


@settings(max_examples=25)
@given(seeds, st.integers(1, 40))
def test_least_squares_in_a_box(seed, n):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n + 3, n)) / np.sqrt(n) + np.eye(n + 3, n)
    g = rng.standard_normal(n + 3)
    lb, ub = np.sort(rng.standard_normal((2, n)), axis=0)
    lb[rng.random(n) < 0.2] = -np.inf
    ub[rng.random(n) < 0.2] = np.inf
    P, q = F.T @ F + 0.1 * np.eye(n), -F.T @ g
    stacked, right = np.vstack([F, np.sqrt(0.1) * np.eye(n)]), np.append(g, np.zeros(n))
    expected = lsq_linear(stacked, right, (lb, ub), tol=1e-14).x
    result = dasksor.qp(P, q, lb, ub, rtol=1e-9)
    assert result.success
    np.testing.assert_allclose(result.x, expected, atol=1e-5)
    assert result.objective == pytest.approx(0.5 * result.x @ P @ result.x + q @ result.x)
    # The conditions of qpsolvers: stationarity, and signs that go with the bounds.
    np.testing.assert_allclose(P @ result.x + q + result.z_box, 0.0, atol=1e-6)
    for bound, holds in ((lb, result.z_box < 0.0), (ub, result.z_box > 0.0)):
        np.testing.assert_allclose(result.x[holds], bound[holds], atol=1e-6)


def test_a_qp_without_bounds_is_a_linear_system():
    P = problems.poisson((6, 7))
    result = dasksor.qp(P, -np.ones(42), rtol=1e-8)
    np.testing.assert_allclose(result.x, np.linalg.solve(P.toarray(), np.ones(42)), rtol=1e-5)
    assert not result.z_box.any()
    assert "objective -" in str(result)


def test_axes_without_curvature():
    P = np.diag([0.0, 0.0, 2.0, 0.0])
    result = dasksor.qp(P, [1.0, -1.0, -2.0, 0.0], [-1, 0, 0, 3], 5)
    assert result.x.tolist() == pytest.approx([-1.0, 5.0, 1.0, 3.0], abs=1e-12)
    assert result.z_box.tolist() == [-1.0, 1.0, 0.0, 0.0]
    assert result.success
    assert result.objective == pytest.approx(-7.0)
    endless = dasksor.qp(P, [1.0, -1.0, -2.0, 0.0], lb=0.0)
    assert endless.status is Status.UNBOUNDED
    assert "linear in x_1" in str(endless)
    with pytest.raises(NotConverged, match="no lower bound"):
        dasksor.qp(P, [1.0, -1.0, -2.0, 0.0], raise_on_failure=True)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("P must be symmetric", ([[1.0, 1.0], [0.0, 1.0]], [1.0, 1.0])),
        ("not positive semidefinite", ([[0.0, 1.0], [1.0, 1.0]], [1.0, 1.0])),
        ("not positive semidefinite", ([[-1.0]], [1.0])),
        ("above the upper bound", (np.diag([0.0, 1.0]), [1.0, 1.0], 2.0, 1.0)),
        ("lower bound is nan", (np.eye(2), [1.0, 1.0], [np.nan, 0.0])),
    ],
)
def test_bad_programs_are_refused(words, arguments):
    with pytest.raises(ValueError, match=words):
        dasksor.qp(*arguments)


# Command line


def run(*words):
    return CliRunner().invoke(main, ["lcp", *map(str, words)])


def test_command(tmp_path):
    M, q = problems.poisson((8, 8)), np.linspace(-1.0, 1.0, 64)
    mmwrite(tmp_path / "M.mtx", M)
    np.save(tmp_path / "q.npy", q)
    found = run(tmp_path / "M.mtx", tmp_path / "q.npy", "--rtol", 1e-8, "-o", tmp_path / "z.npy")
    assert found.exit_code == 0
    assert "z'w" in found.output
    z = np.load(tmp_path / "z.npy")
    assert np.linalg.norm(np.minimum(z, M @ z + q)) <= 1e-8 * np.linalg.norm(q)
    again = run(tmp_path / "M.mtx", tmp_path / "q.npy", "--z0", tmp_path / "z.npy", "--json")
    plain = json.loads(again.output)
    assert (plain["success"], plain["sweeps"]) == (True, 0)
    assert plain["violation"] < 1e-5


def test_command_says_what_is_wrong(tmp_path):
    np.save(tmp_path / "M.npy", -np.eye(2))
    np.save(tmp_path / "q.npy", -np.ones(2))
    files = tmp_path / "M.npy", tmp_path / "q.npy"
    hopeless = run(*files)
    assert hopeless.exit_code == 1
    assert "no solution" in hopeless.output
    assert run(*files, "--workers", 2, "--mode", "sequential").exit_code == 2
    np.save(tmp_path / "q.npy", np.ones(3))
    wrong = run(*files)
    assert wrong.exit_code == 2
    assert "q has shape (3,)" in wrong.output
