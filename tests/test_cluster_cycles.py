"""Accelerated solves on real clusters of threads and of processes."""

import gc

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import dasksor
from dasksor import Status, problems

pytestmark = pytest.mark.usefixtures("tidy")
SHAPE = (24, 25)
GRID = problems.poisson(SHAPE)
B = np.sin(np.arange(600.0))
free = {"mode": "async", "staleness": None}


@pytest.fixture(params=["threads", "processes"])
def client(request):
    return request.getfixturevalue(request.param)


def audit(A, result, b):
    return np.linalg.norm(b - A @ np.asarray(result.x), axis=0)


@pytest.mark.parametrize("blocks", [None, 1, 2, 9])
def test_free_sweeps_of_a_definite_matrix_are_accelerated_and_verified(client, blocks):
    result = dasksor.solve(GRID, B, rtol=1e-9, blocks=blocks, client=client, **free)
    assert result.success
    assert (result.accelerate, result.staleness) == ("cg", None)
    assert (result.omega, result.omega_origin) == (1.0, "proven")
    assert "accelerated by cg" in str(result)
    assert result.to_dict()["accelerate"] == "cg"
    assert audit(GRID, result, B) == pytest.approx(result.residual_norm, rel=1e-6)
    assert result.residual_norm <= 1e-9 * np.linalg.norm(B)
    assert result.sweeps < 200
    plain = dasksor.solve(GRID, B, maxiter=9, accelerate=None, client=client, **free)
    assert plain.accelerate is None


@pytest.mark.parametrize("sweep", ["forward", "backward", "symmetric"])
def test_the_answer_is_that_of_the_simulator_bit_for_bit(client, sweep):
    b = np.stack([B, 0.0 * B, B[::-1]], axis=1)
    how = {"staleness": None, "blocks": 6, "rtol": 0.0, "maxiter": 13, "sweep": sweep}
    expected = dasksor.simulate(GRID, b, x0=b, latency=3.0, loss=0.2, **how).result
    result = dasksor.solve(GRID, b, x0=b, mode="async", client=client, **how)
    assert (result.sweeps, result.status) == (13, Status.MAXITER)
    np.testing.assert_array_equal(result.x, expected.x)
    np.testing.assert_array_equal(result.residual_norm, expected.residual_norm)
    assert [m.sweeps for m in result.history] == [m.sweeps for m in expected.history]


@pytest.mark.parametrize("mailbox", ["memory", "direct", "variables"])
def test_every_mailbox_carries_cycles(threads, mailbox):
    result = dasksor.solve(GRID, B, rtol=1e-8, mailbox=mailbox, client=threads, **free)
    assert (result.success, result.accelerate, result.mailbox) == (True, "cg", mailbox)
    assert result.messages > 0


def test_variables_carry_cycles_between_processes(processes):
    result = dasksor.solve(GRID, B, rtol=1e-6, mailbox="variables", client=processes, **free)
    assert (result.success, result.accelerate, result.mailbox) == (True, "cg", "variables")


@pytest.mark.parametrize("kind", ["dense chunks", "sparse chunks", "factory"])
def test_matrices_and_right_hand_sides_that_only_workers_hold(client, kind):
    if kind == "factory":
        A = problems.poisson(SHAPE, nblocks=5)
    else:
        A = da.from_array(GRID.toarray(), chunks=((200, 100, 300), (350, 250)))
        if kind == "sparse chunks":
            A = A.map_blocks(sp.csr_array)
    b = da.from_array(B, chunks=250)
    result = dasksor.solve(A, b, rtol=1e-8, client=client, **free)
    assert (result.success, result.accelerate) == (True, "cg")
    assert isinstance(result.x, da.Array)
    with client.as_current():
        x = result.x.compute()
        assert result.residual(A, b) == pytest.approx(result.residual_norm, rel=1e-6)
    assert np.linalg.norm(B - GRID @ x) == pytest.approx(result.residual_norm, rel=1e-6)
    del result


def test_a_dense_matrix_is_accelerated_where_it_is_asked_for(client):
    A = problems.dense_spd(300, dominance=0.1)
    b = np.arange(300.0)
    result = dasksor.solve(A, b, mode="async", accelerate="cg", rtol=1e-10, client=client)
    assert (result.success, result.accelerate) == (True, "cg")
    assert audit(A, result, b) <= 1.001e-10 * np.linalg.norm(b)


def test_the_embedded_cluster_runs_cycles():
    result = dasksor.solve(GRID, da.from_array(B, chunks=300), rtol=1e-8, **free)
    assert (result.success, result.accelerate, result.mailbox) == (True, "cg", "memory")
    assert audit(GRID, result, B) <= 1.001e-8 * np.linalg.norm(B)


def test_what_cannot_be_positive_definite_is_refused_by_cg_and_solved_by_gcr(client):
    A = problems.convection_diffusion((12, 14))
    b = np.ones(168)
    with pytest.raises(ValueError, match="accelerate='cg' needs a symmetric matrix"):
        dasksor.solve(A, b, mode="async", accelerate="cg", client=client)
    # Its traceback holds the placed blocks until it is collected.
    gc.collect()
    how = {"staleness": None, "blocks": 6, "rtol": 1e-8}
    expected = dasksor.simulate(A, b, latency=3.0, loss=0.2, **how).result
    result = dasksor.solve(A, b, mode="async", client=client, **how)
    assert (result.success, result.accelerate) == (True, "gcr")
    assert audit(A, result, b) == pytest.approx(result.residual_norm, rel=1e-6)
    np.testing.assert_array_equal(result.x, expected.x)


def test_an_indefinite_matrix_ends_with_its_status(client):
    A = GRID - 0.5 * sp.eye_array(600)
    result = dasksor.solve(A, B, rtol=1e-8, client=client, **free)
    assert result.status is Status.INDEFINITE
    assert result.info < 0
    assert audit(A, result, B) == pytest.approx(result.residual_norm, rel=1e-9)
    with pytest.raises(dasksor.NotConverged, match="not positive definite"):
        dasksor.solve(A, B, client=client, raise_on_failure=True, **free)
    gc.collect()


def test_time_limit_callback_and_exception_end_cycles(client):
    endless = {"rtol": 1e-300, "client": client} | free
    late = dasksor.solve(GRID, B, timeout=0.3, **endless)
    assert late.status is Status.TIMEOUT
    assert audit(GRID, late, B) == pytest.approx(late.residual_norm, rel=1e-6, abs=1e-13)
    seen = []

    def callback(measurement):
        seen.append(measurement)
        return len(seen) == 2

    stopped = dasksor.solve(GRID, B, callback=callback, **endless)
    assert stopped.status is Status.STOPPED
    assert stopped.history == seen

    def broken(measurement):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        dasksor.solve(GRID, B, callback=broken, **endless)
