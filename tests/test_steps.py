"""Steps that minimise the residual: the dense algorithm, monotone, on any schedule and fault."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import FORWARD, dense_sweep, random_cuts, seeds
from simulated import counted
from test_cycles import GRID, Cycles

import dasksor
from dasksor import Status, problems
from dasksor.engine.steps import RESIDUAL

few = settings(deadline=None, max_examples=30)
free = {"staleness": None, "accelerate": "gcr"}
WIND = problems.convection_diffusion((11, 13), velocity=(-60.0, 40.0))
MATRICES = {
    "wind": WIND,
    "dense": problems.dense_spd(60, dominance=0.5) + np.triu(np.ones((60, 60)), 1),
    "pagerank": problems.pagerank(problems.random_graph(120, 4.0))[0],
    "definite": GRID,
}


@st.composite
def cases(draw):
    """An unsymmetric system with a positive definite symmetric part, cut into blocks."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(2, 40))
    off = rng.standard_normal((n, n)) / np.sqrt(n)
    A = off + (draw(st.floats(0.2, 2.0)) - np.linalg.eigvalsh(off + off.T)[0] / 2.0) * np.eye(n)
    nblocks = draw(st.integers(1, min(n, 5)))
    b, x0 = rng.standard_normal((2, draw(st.integers(1, 3)), n))
    return SimpleNamespace(
        A=A if draw(st.booleans()) else sp.csr_array(A),
        dense=A, b=b, x0=x0, cuts=random_cuts(rng, n, nblocks), owner=[0] * nblocks,
    )  # fmt: skip


def dense_gcr(A, b, x, cuts, groups, *, omega, cycles):
    """GCR whose preconditioner is the coarse space, then block SOR there and back."""
    Z = (groups[:, None] == np.unique(groups)).astype(float)
    r, past, iterates = b - A @ x, [], []
    for cycle in range(cycles):
        if np.linalg.norm(r) < 1e-12 * np.linalg.norm(b):
            break
        start = Z @ np.linalg.solve(Z.T @ A @ Z, Z.T @ r) if cycle else np.zeros_like(x)
        left, z = r - A @ start, np.zeros_like(x)
        for direction in (FORWARD, -FORWARD):
            for i, j in pairwise(cuts):
                z[i:j] = dense_sweep(A[i:j, i:j], left[i:j], z[i:j], omega, direction)
        p, q = start + z, A @ (start + z)
        for p_i, q_i in past[-RESIDUAL.kept :]:
            beta = (q_i @ q) / (q_i @ q_i)
            p, q = p - beta * p_i, q - beta * q_i
        step = (q @ r) / (q @ q)
        x, r, past = x + step * p, r - step * q, [*past, (p, q)]
        iterates.append(x)
    return iterates


@few
@given(cases(), st.integers(1, 6), st.floats(0.6, 1.4))
def test_cycles_are_the_dense_algorithm_iterate_by_iterate(case, cycles, omega):
    made = Cycles(case, counted(2 * cycles, omega), rule=RESIDUAL).run()
    for j, (b, x0) in enumerate(zip(case.b, case.x0, strict=True)):
        expected = dense_gcr(case.dense, b, x0, case.cuts, made.groups, omega=omega, cycles=cycles)
        for x, y in zip(made.iterates, expected, strict=False):
            if np.linalg.norm(b - case.dense @ y) < 1e-7 * np.linalg.norm(b):
                # Directions found from rounding errors are nobody's.
                break
            scale = np.abs(np.linalg.solve(case.dense, b)).max() + np.abs(x0).max()
            np.testing.assert_allclose(x[j], y, atol=1e-6 * scale)


@few
@given(cases(), st.integers(1, 15), st.floats(0.1, 1.9))
def test_the_residual_never_grows(case, cycles, omega):
    made = Cycles(case, counted(2 * cycles, omega), rule=RESIDUAL).run()
    norms = [np.linalg.norm(case.b - x @ case.dense.T, axis=1) for x in (case.x0, *made.iterates)]
    rounding = 1e-12 * (norms[0] + np.linalg.norm(case.b, axis=1))
    for before, after in pairwise(norms):
        assert (after <= before * (1.0 + 1e-12) + rounding).all()


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("blocks", [1, 3, 7])
@pytest.mark.parametrize("sweep", ["forward", "backward", "symmetric"])
def test_every_combination_converges_and_is_audited(name, blocks, sweep):
    A = MATRICES[name]
    b = np.cos(np.arange(A.shape[0]))
    result = dasksor.simulate(A, b, blocks=blocks, sweep=sweep, rtol=1e-10, **free).result
    assert result.success
    assert (result.accelerate, result.staleness) == ("gcr", None)
    assert (result.omega, result.omega_origin) == (1.0, "heuristic")
    audit = np.linalg.norm(b - A @ result.x)
    assert audit <= 1.001e-10 * np.linalg.norm(b)
    assert result.residual_norm == pytest.approx(audit, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(MATRICES)),
    st.integers(1, 9),
    st.fixed_dictionaries(
        {
            "workers": st.integers(1, 5),
            "latency": st.sampled_from([0.0, 1.0, 8.0]),
            "loss": st.sampled_from([0.0, 0.3]),
            "duplicates": st.sampled_from([0.0, 0.3]),
            "seed": st.integers(0, 10**9),
        }
    ),
)
def test_the_answer_does_not_depend_on_the_schedule(name, blocks, weather):
    A = MATRICES[name]
    b = np.sin(np.arange(2.0 * A.shape[0])).reshape(-1, 2)
    how = {"rtol": 1e-8, "blocks": blocks} | free
    calm = dasksor.simulate(A, b, workers=1, latency=0.0, **how).result
    found = dasksor.simulate(A, b, **weather, **how).result
    np.testing.assert_array_equal(found.x, calm.x)
    assert found.status is calm.status


@pytest.mark.parametrize("seed", range(12))
def test_deaths_cost_time_and_not_the_answer(seed):
    run = dasksor.simulate(
        WIND, np.ones(143), workers=4, blocks=8, deaths=4, absence=5.0, loss=0.1, rtol=1e-9,
        seed=seed, **free,
    )  # fmt: skip
    assert run.result.success
    assert np.linalg.norm(1.0 - WIND @ run.result.x) <= 1.001e-9 * np.sqrt(143)


def test_an_indefinite_matrix_ends_honestly():
    A = GRID - 0.5 * sp.eye_array(143)
    result = dasksor.simulate(A, np.ones(143), rtol=1e-8, maxiter=300, **free).result
    assert result.status in (Status.CONVERGED, Status.MAXITER, Status.STAGNATED)
    audit = np.linalg.norm(1.0 - A @ result.x)
    assert result.residual_norm == pytest.approx(audit, rel=1e-6)
    assert audit <= np.sqrt(143)


@pytest.mark.parametrize(
    ("A", "chosen"),
    [(WIND, "gcr"), (GRID, "cg"), (MATRICES["pagerank"], None), (-WIND, None)],
    ids=["wind", "definite", "dominant", "negative"],
)
def test_auto_minimises_the_residual_where_nothing_better_is_known(A, chosen):
    b = np.ones(A.shape[0])
    assert dasksor.simulate(A, b, staleness=None, rtol=1e-2).result.accelerate == chosen
    assert dasksor.simulate(A, b, staleness=0, rtol=1e-2).result.accelerate is None
    with pytest.raises(ValueError, match="accelerate='gcr' sweeps without waiting"):
        dasksor.simulate(A, b, staleness=0, accelerate="gcr")


def test_sweeps_hardly_grow_with_the_grid_and_are_far_fewer_than_plain_ones():
    made = {}
    for side in (60, 120):
        A, b = problems.convection_diffusion((side, side)), np.ones(side**2)
        found = dasksor.simulate(A, b, blocks=8, rtol=1e-6, **free).result
        assert found.success
        made[side] = found.sweeps
    assert made[120] <= 1.5 * made[60]
    A, b = problems.convection_diffusion((60, 60)), np.ones(3600)
    how = {"blocks": 8, "staleness": None, "accelerate": None}
    plain = dasksor.simulate(A, b, maxiter=4 * made[60], rtol=1e-6, **how).result
    assert not plain.success
