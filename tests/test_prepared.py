"""``dasksor.prepare``: a matrix made ready once, and solves in this process by mode."""

import threading
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import FORMATS, random_dominant, random_spd, seeds

import dasksor
from dasksor import NotConverged, Status, problems

pytestmark = pytest.mark.usefixtures("tidy")

GRID = problems.poisson((40, 30))
NOISE = np.random.default_rng(0).standard_normal(1200)


def assert_audited(result, A, b):
    norms = result.residual(A, b)
    assert result.success
    assert (norms <= 1.001 * result.rtol * np.linalg.norm(b, axis=0)).all()
    # Conjugate gradients may find all the digits of a small system, and leave rounding errors.
    rounding = 1e-15 * np.linalg.norm(abs(A) @ np.abs(result.x))
    np.testing.assert_allclose(result.residual_norm, norms, rtol=1e-4, atol=rounding)


# Modes and what they choose


@pytest.mark.parametrize(
    ("options", "mode", "accelerate"),
    [
        ({}, "sequential", "cg"),
        ({"accelerate": "cg"}, "sequential", "cg"),
        ({"accelerate": None}, "sequential", None),
        ({"sweep": "symmetric"}, "sequential", None),
        ({"mode": "sequential"}, "sequential", None),
        ({"mode": "sequential", "accelerate": "cg"}, "sequential", "cg"),
        ({"mode": "threads"}, "threads", "cg"),
        ({"mode": "threads", "blocks": 5}, "threads", "cg"),
    ],
    ids=str,
)
def test_the_mode_decides_and_a_solve_agrees(options, mode, accelerate):
    ready = dasksor.prepare(GRID, **options)
    assert (ready.mode, ready.accelerate) == (mode, accelerate)
    b = GRID @ NOISE
    result = ready.solve(b, rtol=1e-8)
    assert (result.mode, result.accelerate, result.staleness) == (mode, accelerate, 0)
    assert_audited(result, GRID, b)
    assert result.blocks == options.get("blocks", result.workers)
    direct = dasksor.solve(GRID, b, rtol=1e-8, **options)
    np.testing.assert_array_equal(direct.x, result.x)
    assert (direct.mode, direct.reason, direct.sweeps) == (mode, ready.reason, result.sweeps)


def test_large_symmetric_matrices_are_for_threads_and_others_for_one(monkeypatch):
    monkeypatch.setattr("dasksor.choices.available_cores", lambda: 4)
    with dask.config.set({"dasksor.sequential-below": 0}):
        assert dasksor.prepare(GRID).mode == "threads"
        assert dasksor.prepare(GRID.toarray()).mode == "sequential"
        assert dasksor.prepare(problems.convection_diffusion((9, 9))).mode == "sequential"
    monkeypatch.setattr("dasksor.choices.available_cores", lambda: 1)
    with dask.config.set({"dasksor.sequential-below": 0}):
        assert dasksor.prepare(GRID).mode == "sequential"


def test_an_unsymmetric_matrix_is_swept():
    A = problems.convection_diffusion((20, 20))
    ready = dasksor.prepare(A, sweep="backward", omega=1.2)
    result = ready.solve(np.ones(400), rtol=1e-8)
    assert (ready.accelerate, result.accelerate, result.omega) == (None, None, 1.2)
    assert_audited(result, A, np.ones(400))
    with pytest.raises(ValueError, match="needs a symmetric matrix"):
        dasksor.prepare(A, mode="threads")


def test_prepared_sweeps_are_those_of_the_sequential_mode():
    A = random_dominant(np.random.default_rng(3), 30)
    b, count = np.arange(30.0), {"rtol": 0.0, "atol": 0.0, "maxiter": 7}
    for sweep in ("forward", "symmetric"):
        ready = dasksor.prepare(A, mode="sequential", sweep=sweep, omega=1.3)
        expected = dasksor.solve(A, b, mode="sequential", sweep=sweep, omega=1.3, **count)
        np.testing.assert_array_equal(ready.solve(b, **count).x, expected.x)


@pytest.mark.parametrize("kind", ["dask", "dask of sparse", "factory", "sparse factory"])
def test_matrices_that_are_elsewhere_are_refused(kind):
    with pytest.raises(ValueError, match="prepare needs a matrix in this process, got"):
        dasksor.prepare(FORMATS[kind](random_spd(np.random.default_rng(0), 12)))


@pytest.mark.parametrize("kind", ["dask", "factory"])
def test_modes_of_this_process_fetch_a_matrix_that_is_elsewhere(kind):
    A = random_spd(np.random.default_rng(0), 12)
    result = dasksor.solve(FORMATS[kind](A), np.ones(12), mode="threads", rtol=1e-9)
    assert (result.mode, result.accelerate) == ("threads", "cg")
    assert_audited(result, A, np.ones(12))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"mode": "async"}, "mode must be one of auto, sequential, threads; got 'async'"),
        ({"mode": "sequential", "blocks": 2}, "blocks has no meaning in mode 'sequential'"),
        ({"mode": "threads", "blocks": 1201}, r"blocks must lie in 1, \.\.\., 1200"),
        ({"omega": 2.0}, r"omega must lie in \(0, 2\)"),
        ({"accelerate": "cg", "sweep": "backward"}, "sweep='backward' has no meaning"),
        ({"mode": "threads", "accelerate": None}, "'threads' is for accelerated solves"),
        (
            {"accelerate": None, "nullspace": np.ones(1200)},
            "nullspace has no meaning for plain sweeps",
        ),
        ({"nullspace": np.ones(7)}, "nullspace has shape"),
    ],
    ids=str,
)
def test_bad_options_are_refused_at_the_door(bad, message):
    with pytest.raises(ValueError, match=message):
        dasksor.prepare(GRID, **bad)


@pytest.mark.parametrize(
    ("A", "options", "message"),
    [
        (GRID, {"accelerate": None}, "nullspace has no meaning for plain sweeps"),
        (GRID, {"mode": "sequential"}, "nullspace has no meaning for plain sweeps"),
        (GRID.toarray(), {}, "no meaning for a dense matrix"),
        (-GRID, {}, "needs a matrix with a positive diagonal, got -4 at row 0"),
    ],
    ids=["plain", "sequential", "dense", "negative"],
)
@pytest.mark.parametrize("solve", [dasksor.prepare, partial(dasksor.solve, b=NOISE)])
def test_near_null_vectors_are_refused_where_nothing_would_be_made_of_them(
    A, options, message, solve
):
    with pytest.raises(ValueError, match=message):
        solve(A, nullspace=np.ones(1200), **options)


def test_near_null_vectors_keep_a_solve_in_this_process():
    A = problems.poisson((40, 30), nblocks=2)
    with pytest.raises(ValueError, match="nullspace needs a matrix in this process"):
        dasksor.solve(A, NOISE, nullspace=np.ones(1200))
    with dask.config.set({"dasksor.sequential-below": 0}):
        result = dasksor.solve(GRID, NOISE, nullspace=np.ones(1200))
    assert result.success
    assert result.mode in ("sequential", "threads")


def test_bad_right_hand_sides_are_refused():
    ready = dasksor.prepare(GRID)
    with pytest.raises(ValueError, match="b has shape"):
        ready.solve(np.ones(7))
    with pytest.raises(ValueError, match="b has nan at row 0"):
        ready.solve(np.full(1200, np.nan))
    with pytest.raises(ValueError, match="rtol must be nonnegative"):
        ready.solve(NOISE, rtol=-1.0)
    with pytest.raises(ValueError, match="maxiter must be"):
        ready.solve(NOISE, maxiter=-1)


# Right-hand sides, starts, forms


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(1, 24), st.integers(1, 24), st.sampled_from([np.float64, np.float32]))
def test_random_systems_in_every_form(seed, n, blocks, dtype):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n).astype(dtype)
    A = np.tril(A) + np.tril(A, -1).T
    b = rng.standard_normal((n, 2))
    exact = np.linalg.solve(A.astype(np.float64), b)
    for form in (np.asarray, sp.csr_array, sp.coo_array):
        cut = {} if form is np.asarray else {"blocks": min(blocks, n)}
        found = dasksor.prepare(form(A), mode="threads", **cut).solve(b, rtol=1e-10)
        assert found.success
        assert found.x.dtype == np.float64
        np.testing.assert_allclose(found.x, exact, rtol=1e-5, atol=1e-6 * np.abs(exact).max())


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("A", [problems.poisson((8, 30)).toarray(), problems.dense_spd(50)])
def test_every_form_of_a_matrix(kind, A):
    b = np.cos(np.arange(len(A)))
    result = dasksor.solve(FORMATS[kind](A), b, mode="threads", rtol=1e-11)
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), rtol=1e-8, atol=1e-9)


def test_stored_zeros_and_whole_numbers():
    A = problems.poisson((8, 30))
    padded = sp.csr_array((A.toarray().ravel(), np.indices(A.shape).reshape(2, -1)), A.shape)
    assert padded.nnz == 240 * 240
    whole = A.astype(np.int64)
    whole.indices, whole.indptr = whole.indices.astype(np.int64), whole.indptr.astype(np.int64)
    b = np.cos(np.arange(240))
    expected = dasksor.solve(A, b, mode="threads", blocks=3, rtol=1e-9)
    for other in (padded, whole):
        found = dasksor.solve(other, b, mode="threads", blocks=3, rtol=1e-9)
        assert found.success
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-6)


def test_a_dense_matrix_is_one_block():
    with pytest.raises(ValueError, match="a dense matrix is one block in mode 'threads', got bloc"):
        dasksor.solve(np.eye(4), np.ones(4), mode="threads", blocks=2)
    assert dasksor.solve(np.eye(4), np.ones(4), mode="threads", blocks=1).blocks == 1


def test_a_penalty_on_the_diagonal_does_not_make_a_matrix_symmetric():
    penalty = sp.diags_array(np.where(np.arange(900) < 30, 1e16, 0.0))
    A = sp.csr_array(problems.convection_diffusion((30, 30)) + penalty)
    assert dasksor.solve(A, np.ones(900), accelerate=None).success
    assert dasksor.solve(A, np.ones(900)).success


@pytest.mark.parametrize("mode", ["sequential", "threads"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_one_unknown(mode, form):
    result = dasksor.solve(form([[4.0]]), [2.0], mode=mode, accelerate="cg")
    assert result.success
    # The scale is a square root, rounded.
    assert result.x[0] == pytest.approx(0.5, rel=4 * np.finfo(float).eps, abs=0.0)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_threads_are_no_more_than_rows(form, n, monkeypatch):
    monkeypatch.setattr("dasksor.preparations.available_cores", lambda: 8)
    result = dasksor.solve(form(2.0 * np.eye(n)), np.ones(n), mode="threads")
    assert result.success
    assert result.workers == result.blocks == (1 if form is np.asarray else n)


def test_columns_are_solved_each_to_its_tolerance():
    ready = dasksor.prepare(GRID, mode="threads", blocks=3)
    b = np.stack([GRID @ NOISE, np.zeros(1200), 1e-6 * NOISE, np.eye(1200)[7]], axis=1)
    result = ready.solve(b, rtol=1e-9)
    assert result.x.shape == (1200, 4)
    assert_audited(result, GRID, b)
    assert not result.x[:, 1].any()
    for j in (0, 2, 3):
        alone = ready.solve(b[:, j], rtol=1e-9).x
        np.testing.assert_allclose(result.x[:, j], alone, rtol=1e-6, atol=1e-7 * abs(alone).max())


def test_a_right_hand_side_of_dask_gives_an_answer_of_dask():
    b = da.from_array(NOISE, chunks=500)
    result = dasksor.prepare(GRID).solve(b, rtol=1e-8)
    assert isinstance(result.x, da.Array)
    assert result.x.chunks == b.chunks
    assert np.linalg.norm(NOISE - GRID @ result.x.compute()) <= 1.001e-8 * np.linalg.norm(NOISE)


def test_a_warm_start_saves_iterations_and_the_solution_takes_none():
    ready = dasksor.prepare(GRID)
    b = GRID @ NOISE
    cold = ready.solve(b, rtol=1e-8)
    near = ready.solve(b, NOISE + 1e-6 * NOISE[::-1], rtol=1e-8)
    assert 0 < near.sweeps < cold.sweeps
    assert ready.solve(b, cold.x, rtol=1e-8).sweeps == 0
    assert ready.solve(b, NOISE, rtol=1e-8).sweeps == 0


def test_solves_do_not_depend_on_those_before():
    ready = dasksor.prepare(GRID, mode="threads", blocks=4)
    first = ready.solve(NOISE, rtol=1e-9)
    ready.solve(np.ones(1200), NOISE, rtol=1e-3, maxiter=3)
    np.testing.assert_array_equal(ready.solve(NOISE, rtol=1e-9).x, first.x)


@pytest.mark.parametrize("options", [{}, {"omega": 1.3}], ids=["grid", "coarse space"])
def test_the_matrix_is_made_ready_once(options, monkeypatch):
    from dasksor import preparations

    made, prepare_splitting = [], preparations.prepare_splitting

    def counted(*args, **keywords):
        made.append(prepare_splitting(*args, **keywords))
        return made[-1]

    monkeypatch.setattr(preparations, "prepare_splitting", counted)
    ready = dasksor.prepare(GRID, **options)
    for _ in range(3):
        assert ready.solve(NOISE).success
    assert [one.deflation is not None for one in made] == [bool(options)]


def test_a_nullspace_undoes_a_scaling():
    t = np.exp(np.random.default_rng(1).standard_normal(10_000))
    A = problems.poisson((100, 100))
    scaled = sp.csr_array(sp.diags_array(t) @ A @ sp.diags_array(t))
    b = np.ones(10_000)
    # Omega is given, so that the grid is not tried without a coarse space.
    plain = dasksor.prepare(A, omega=1.25).solve(b, rtol=1e-8).sweeps
    without = dasksor.prepare(scaled, omega=1.25).solve(t * b, rtol=1e-8).sweeps
    told = dasksor.prepare(scaled, omega=1.25, nullspace=1.0 / t).solve(t * b, rtol=1e-8)
    assert_audited(told, scaled, t * b)
    assert told.sweeps <= 2 * plain
    assert without > 2 * told.sweeps
    # A vector that is given is used.
    assert dasksor.prepare(scaled, nullspace=1.0 / t).solve(t * b, rtol=1e-8).sweeps == told.sweeps


# Ends of runs


def test_failures_can_be_raised():
    ready = dasksor.prepare(GRID, mode="threads")
    with pytest.raises(NotConverged) as caught:
        ready.solve(NOISE, rtol=1e-12, maxiter=3, raise_on_failure=True)
    result = caught.value.result
    assert (result.status, result.history[-1].sweeps) == (Status.MAXITER, 3)


@pytest.mark.parametrize("mode", ["sequential", "threads"])
@pytest.mark.parametrize("maxiter", [0, 4])
def test_asked_for_numbers_of_iterations_are_made(mode, maxiter):
    options = {"rtol": 0.0, "atol": 0.0, "maxiter": maxiter, "accelerate": "cg"}
    result = dasksor.solve(GRID, NOISE, mode=mode, **options)
    assert (result.status, result.sweeps) == (Status.MAXITER, maxiter)
    assert result.residual(GRID, NOISE) == pytest.approx(result.residual_norm, rel=1e-9)
    if not maxiter:
        assert not result.x.any()


def test_mode_auto_counts_sweeps_where_no_tolerance_is_given():
    result = dasksor.solve(GRID, NOISE, rtol=0.0, atol=0.0, maxiter=4, omega=1.5)
    expected = dasksor.solve(GRID, NOISE, mode="sequential", rtol=0.0, maxiter=4, omega=1.5)
    assert result.accelerate is None
    np.testing.assert_array_equal(result.x, expected.x)


@pytest.mark.parametrize("mode", ["sequential", "threads"])
@pytest.mark.parametrize("accelerate", ["cg", "auto"])
def test_an_interrupt_in_a_callback_returns_the_vector_that_was_measured(mode, accelerate):
    seen = []

    def callback(measurement):
        seen.append(measurement)
        if len(seen) == 3:
            raise KeyboardInterrupt

    options = {"mode": mode, "accelerate": accelerate, "callback": callback}
    result = dasksor.solve(GRID, NOISE, rtol=1e-12, **options)
    assert result.status is Status.STOPPED
    assert result.history == seen
    assert result.residual(GRID, NOISE) == pytest.approx(result.residual_norm, rel=1e-6)


@pytest.mark.parametrize("mode", ["sequential", "threads"])
def test_solves_from_several_threads_at_once_do_not_mix(mode):
    ready = dasksor.prepare(GRID, mode=mode, accelerate="cg")
    sides = np.random.default_rng(0).standard_normal((4, 1200))
    answers = {}

    def work(number):
        for _ in range(5):
            answers[number] = ready.solve(sides[number], rtol=1e-9)

    runners = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    for number in range(4):
        np.testing.assert_array_equal(answers[number].x, ready.solve(sides[number], rtol=1e-9).x)


def test_a_result_says_how_it_was_made():
    result = dasksor.solve(GRID, NOISE, mode="threads", blocks=3, rtol=1e-8)
    text = str(result)
    assert len(text.splitlines()) <= 8
    assert "iterations of cg with SSOR" in text
    assert "mode threads, 3 blocks" in text
    assert result.omega_origin == "proven"
    assert result.timings["total"]["compute"] > 0.0
    given_omega = dasksor.solve(GRID, NOISE, accelerate="cg", omega=1.1)
    assert (given_omega.omega, given_omega.omega_origin) == (1.1, "given")
