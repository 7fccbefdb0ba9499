"""Synchronous and asynchronous solves on real clusters of threads and of processes."""

import gc
import os
import re
import signal
import threading

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from conftest import (
    BETWEEN_PROCESSES,
    assert_nothing_left,
    needs_shared_memory,
    without_shared_memory,
)
from distributed import Client, LocalCluster

import dasksor
from dasksor import Status, problems
from dasksor.engine import roll
from dasksor.sparse_rows import DiagonalRows

pytestmark = pytest.mark.usefixtures("tidy")

SHARED = pytest.param("shared", marks=needs_shared_memory)


@pytest.fixture(params=["threads", "processes"])
def client(request):
    return request.getfixturevalue(request.param)


def after(k, A, b, **options):
    """The iterate after exactly ``k`` sweeps."""
    return dasksor.solve(A, b, rtol=0.0, atol=0.0, maxiter=k, **options)


PATTERNS = {
    "poisson": problems.poisson((12, 17)),
    "convection": problems.convection_diffusion((15, 13)),
    "one-sided": sp.csr_array(
        sp.eye_array(90) * 4.0 + sp.eye_array(90, k=-31) - 2.0 * sp.eye_array(90, k=-1)
    ),
    "dense": problems.dense_spd(140, dominance=0.5),
    "float32": problems.dense_spd(70, dominance=0.5).astype(np.float32),
}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize(
    ("client", "sweep"),
    [
        ("threads", "forward"),
        ("threads", "backward"),
        ("threads", "symmetric"),
        # Forward and backward passes in one.
        ("processes", "symmetric"),
    ],
    indirect=["client"],
)
@pytest.mark.parametrize(("mode", "blocks"), [("sync", 3), ("async", 2), ("async", 7)])
def test_exact_modes_equal_the_sequential_sweeps_bit_for_bit(client, name, sweep, mode, blocks):
    A = PATTERNS[name]
    b = np.sin(np.arange(A.shape[0]))
    options = {"omega": 1.3, "sweep": sweep}
    expected = after(6, A, b, mode="sequential", **options)
    exact = {"staleness": 0} if mode == "async" else {}
    result = after(6, A, b, mode=mode, blocks=blocks, client=client, **exact, **options)
    assert result.sweeps == expected.sweeps == 6
    assert result.status is expected.status
    np.testing.assert_array_equal(result.x, expected.x)
    assert result.residual_norm == pytest.approx(expected.residual_norm, rel=1e-12)


@pytest.mark.parametrize("mailbox", [SHARED, "direct", "variables"])
def test_every_mailbox_carries_exact_sweeps(client, mailbox):
    A, b = PATTERNS["poisson"], np.ones(204)
    expected = after(9, A, b, omega=1.7, mode="sequential")
    result = after(9, A, b, omega=1.7, mode="async", mailbox=mailbox, client=client)
    np.testing.assert_array_equal(result.x, expected.x)
    assert result.mailbox == mailbox
    assert result.messages > 0
    assert result.bytes_sent > 0


def test_adaptive_omega_is_the_same_in_all_exact_modes(client):
    A, b = problems.poisson((24, 24)), np.ones(576)
    expected = dasksor.solve(A, b, mode="sequential", rtol=1e-8)
    for mode in ("sync", "async"):
        result = dasksor.solve(A, b, mode=mode, rtol=1e-8, client=client)
        assert result.success
        assert result.omega == expected.omega
        assert result.sweeps == expected.sweeps
        np.testing.assert_array_equal(result.x, expected.x)


@pytest.mark.parametrize("staleness", [0, 1, 3, None])
@pytest.mark.parametrize("mailbox", ["memory", SHARED, "direct", "variables"])
def test_every_staleness_reaches_the_tolerance_where_it_is_proven_to(threads, staleness, mailbox):
    A, b = problems.dense_spd(300, dominance=0.5), np.arange(300.0)
    result = dasksor.solve(
        A, b, mode="async", staleness=staleness, accelerate=None, mailbox=mailbox, rtol=1e-9,
        client=threads,
    )  # fmt: skip
    assert result.success
    assert result.staleness == staleness
    assert result.omega_origin == ("estimated" if staleness == 0 else "proven")
    target = 1e-9 * np.linalg.norm(b)
    assert result.residual_norm <= target
    audit = np.linalg.norm(b - A @ result.x)
    assert audit == pytest.approx(result.residual_norm, rel=1e-6, abs=1e-2 * target)


def test_total_asynchrony_is_chosen_where_it_is_proven_to_pay(monkeypatch):
    # On fewer cores four threads would not be used.
    monkeypatch.setattr(roll, "cpu_count", lambda: 4)
    A, b = problems.dense_spd(200, dominance=2.0), np.ones(200)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, processes=False, dashboard_address=":0"
        ) as four,
        Client(four, set_as_default=False) as client,
    ):
        assert dasksor.solve(A, b, mode="async", client=client).staleness is None
        A = problems.dense_spd(200, dominance=0.1)
        assert dasksor.solve(A, b, mode="async", client=client).staleness == 0
        A = problems.poisson((20, 10))
        assert dasksor.solve(A, b, mode="async", client=client).staleness == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", ["dense chunks", "sparse chunks", "factory"])
def test_matrices_that_only_workers_hold(processes, mode, kind):
    local = problems.poisson((18, 14))
    n = local.shape[0]
    if kind == "factory":
        A = problems.poisson((18, 14), nblocks=5)
    else:
        A = da.from_array(local.toarray(), chunks=((100, 52, 100), (77, 175)))
        if kind == "sparse chunks":
            A = A.map_blocks(sp.csr_array)
    b = da.from_array(np.linspace(0.0, 1.0, n), chunks=60)
    result = dasksor.solve(A, b, mode=mode, rtol=1e-8, client=processes)
    assert result.success
    assert isinstance(result.x, da.Array)
    with processes.as_current():
        x = result.x.compute()
        audit = result.residual(A, b)
    assert np.linalg.norm(b.compute() - local @ x) == pytest.approx(result.residual_norm, rel=1e-6)
    assert audit == pytest.approx(result.residual_norm, rel=1e-6)
    del result


def test_several_right_hand_sides(client):
    A, rng = problems.poisson((15, 11)), np.random.default_rng(0)
    b, x0 = rng.standard_normal((165, 3)), rng.standard_normal((165, 3))
    expected = after(5, A, b, x0=x0, omega=1.4, mode="sequential")
    assert expected.x.shape == (165, 3)
    for j in range(3):
        alone = after(5, A, b[:, j], x0=x0[:, j], omega=1.4, mode="sequential")
        np.testing.assert_array_equal(expected.x[:, j], alone.x)
    for mode in ("sync", "async"):
        result = after(5, A, b, x0=x0, omega=1.4, mode=mode, client=client)
        np.testing.assert_array_equal(result.x, expected.x)
        np.testing.assert_allclose(result.residual_norm, expected.residual_norm, rtol=1e-12)


def test_auto_mode_says_what_it_chose_and_why(threads):
    A, b = problems.poisson((30, 30)), np.ones(900)
    small = dasksor.solve(A, b, client=threads)
    assert small.mode == "sequential"
    assert "do not pay" in small.reason
    built = dasksor.solve(problems.poisson((30, 30), nblocks=4), b, client=threads)
    assert built.mode == "async"
    assert "workers" in built.reason
    with dask.config.set({"dasksor.sequential-below": 0}):
        large = dasksor.solve(A, b, client=threads)
    assert large.mode == "async"
    assert "pay the cluster" in large.reason
    for result in (built, large):
        assert result.success
        assert (result.accelerate, result.staleness) == ("cg", None)


@pytest.mark.parametrize(
    ("A", "options"),
    [
        (problems.poisson((20, 15)), {"sweep": "backward"}),
        (problems.poisson((20, 15)), {"accelerate": None}),
        (problems.poisson((20, 15)), {"rtol": 0.0, "maxiter": 9}),
        (problems.convection_diffusion((20, 15)), {}),
    ],
    ids=str,
)
def test_auto_mode_is_exact_where_acceleration_is_not_wanted_or_not_possible(threads, A, options):
    with dask.config.set({"dasksor.sequential-below": 0}):
        result = dasksor.solve(A, np.ones(300), client=threads, **options)
    assert (result.mode, result.accelerate, result.staleness) == ("async", None, 0)


def test_embedded_cluster_starts_and_ends_with_the_call():
    A, b = problems.poisson((30, 30)), da.ones(900, chunks=300)
    before = set(threading.enumerate())
    result = dasksor.solve(A, b, mode="async", rtol=1e-7)
    assert result.success
    assert result.mailbox == "memory"
    lasting = [t.name for t in set(threading.enumerate()) - before if not t.daemon]
    assert lasting == []
    assert np.linalg.norm(1.0 - A @ result.x.compute()) <= 1e-7 * 30


def test_a_solve_inside_a_task_uses_the_cluster_it_is_on(processes):
    def task():
        A = problems.poisson((20, 20))
        result = dasksor.solve(A, np.ones(400), mode="async", rtol=1e-6)
        return result.success, result.workers, result.mailbox

    future = processes.submit(task, pure=False)
    assert future.result() == (True, 2, BETWEEN_PROCESSES)
    del future


def test_two_solves_at_once_do_not_mix(processes):
    A = problems.poisson((25, 25))
    answers = {}

    def work(scale):
        b = np.full(625, scale)
        answers[scale] = dasksor.solve(A, b, mode="async", rtol=1e-9, client=processes).x / scale

    runners = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 7.0)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    np.testing.assert_allclose(answers[1.0], answers[7.0], rtol=1e-7)


# How a solve can end


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_divergence_is_noticed_and_the_best_iterate_returned(client, mode):
    A = np.array([[1.0, 3.0, 0.0], [3.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    result = dasksor.solve(A, np.ones(3), mode=mode, omega=1.5, blocks=3, client=client)
    assert result.status is Status.DIVERGED
    assert result.info < 0
    assert np.isfinite(result.x).all()
    np.testing.assert_allclose(result.residual(A, np.ones(3)), result.residual_norm)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_time_limit(client, mode):
    A = problems.poisson((60, 60))
    result = dasksor.solve(
        A, np.ones(3600), mode=mode, omega=0.1, rtol=1e-14, timeout=0.4, client=client
    )
    assert result.status is Status.TIMEOUT
    assert result.info > 0
    assert result.residual(A, np.ones(3600)) == pytest.approx(result.residual_norm)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_callback_sees_the_history_and_can_stop(client, mode):
    A, seen = problems.poisson((30, 30)), []

    def callback(progress):
        seen.append(progress)
        return len(seen) == 3

    result = dasksor.solve(A, np.ones(900), mode=mode, callback=callback, client=client)
    assert result.status is Status.STOPPED
    assert result.history == seen
    assert len(seen) == 3


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_exception_in_the_callback_reaches_the_caller(client, mode):
    def callback(progress):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        dasksor.solve(
            problems.poisson((9, 9)), np.ones(81), mode=mode, callback=callback, client=client
        )


def broken(start, stop):
    if start >= 20:
        raise ZeroDivisionError("no such rows")
    return np.eye(40)[start:stop]


def without_diagonal(start, stop):
    return np.eye(40, k=1)[start:stop] + np.diag(np.arange(40) != 33)[start:stop]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_errors_on_workers_name_what_was_being_done(processes, mode):
    def message(kind, A, b):
        with pytest.raises(kind) as caught:
            dasksor.solve(A, b, mode=mode, client=processes)
        return str(caught.value)

    A = dasksor.from_blocks(broken, (40, 40), 4)
    said = message(dasksor.BlockError, A, np.ones(40))
    assert re.search(r"rows [23]0 to [23]9, building: ZeroDivisionError: no such rows", said)
    A = dasksor.from_blocks(without_diagonal, (40, 40), 4)
    assert "zero on the diagonal in row 33" in message(ValueError, A, np.ones(40))
    b = da.from_array(np.where(np.arange(40) == 7, np.nan, 1.0), chunks=10)
    assert "b has nan at row 7" in message(ValueError, np.eye(40), b)
    # The tracebacks of these exceptions hold futures until they are collected.
    gc.collect()


def test_operators_may_block_the_handler_of_the_direct_mailbox():
    A, b = PATTERNS["poisson"], np.ones(204)
    with dask.config.set({"distributed.worker.blocked-handlers": ["dasksor_post"]}):
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster, set_as_default=False) as client:
        client.run(without_shared_memory)
        result = dasksor.solve(A, b, mode="async", client=client)
        assert result.success
        assert result.mailbox == "variables"
        with pytest.raises(ValueError, match="mailbox='direct' needs workers that do not block"):
            dasksor.solve(A, b, mode="async", mailbox="direct", client=client)


def test_routes_may_differ_between_the_two_directions():
    A, b = PATTERNS["poisson"], np.ones(204)
    with dask.config.set({"distributed.worker.blocked-handlers": ["dasksor_post"]}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster, set_as_default=False) as client:
        cluster.scale(2)
        client.wait_for_workers(2)
        client.run(without_shared_memory)
        expected = after(9, A, b, omega=1.7, mode="sequential")
        result = after(9, A, b, omega=1.7, mode="async", client=client)
        assert sorted(result.mailbox.split(", ")) == ["direct", "variables"]
        np.testing.assert_array_equal(result.x, expected.x)
        assert_nothing_left(client)


def test_memory_mailbox_is_refused_between_processes(processes):
    with pytest.raises(ValueError, match="mailbox='memory' needs all workers in one process"):
        dasksor.solve(np.eye(4), np.ones(4), mode="async", mailbox="memory", client=processes)
    gc.collect()


def test_shared_mailbox_is_refused_where_a_worker_cannot_share_memory():
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster, set_as_default=False) as client:
        client.run(without_shared_memory, workers=[min(client.nthreads())])
        with pytest.raises(ValueError, match="mailbox='shared' needs all workers on one Linux"):
            dasksor.solve(np.eye(4), np.ones(4), mode="async", mailbox="shared", client=client)
        gc.collect()
        assert dasksor.solve(np.eye(4), np.ones(4), mode="async", client=client).mailbox == "direct"


def killer(victim, client, after=0):
    """A callback that kills worker process ``victim`` once more than ``after`` sweeps are done."""

    def kill(progress):
        if progress.sweeps > after and victim in client.run(os.getpid).values():
            os.kill(victim, signal.SIGKILL)

    return kill


def test_a_killed_worker_ends_a_synchronous_solve_with_an_error_and_nothing_left():
    cluster = LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster, set_as_default=False) as client:
        # Of three workers a machine with two cores leaves the last one to spare.
        victim = sorted(client.run(os.getpid).items())[1][1]
        A, b = problems.poisson((60, 60)), np.ones(3600)
        with pytest.raises(RuntimeError, match=r"lost (task|worker) .* during the solve"):
            dasksor.solve(
                A, b, mode="sync", omega=1.0, rtol=1e-12, client=client,
                callback=killer(victim, client),
            )  # fmt: skip
        gc.collect()
        client.wait_for_workers(3)
        assert_nothing_left(client)
        assert dasksor.solve(A, b, mode="sync", rtol=1e-2, client=client).success


def test_a_cluster_without_workers_is_refused():
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
        pytest.raises(ValueError, match="no workers"),
    ):
        dasksor.solve(np.eye(4), np.ones(4), mode="async", client=client)


def test_a_closed_client_is_refused():
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        client = Client(cluster, set_as_default=False)
        client.close()
        with pytest.raises(ValueError, match="client is closed"):
            dasksor.solve(np.eye(4), np.ones(4), mode="async", client=client)


def test_fifty_solves_leave_nothing_behind(processes):
    A, b = problems.dense_spd(24, dominance=5.0), np.ones(24)
    before = threading.active_count()
    for k in range(50):
        mode = ("sync", "async")[k % 2]
        assert dasksor.solve(A, b, mode=mode, rtol=1e-3, client=processes).success
    assert_nothing_left(processes)
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", ["local", "dask", "blocks"])
def test_no_matrix_is_kept_on_workers_beside_the_rows_made_ready(processes, mode, kind):
    A = dasksor.problems.poisson((30, 30))
    if kind == "blocks":
        A = dasksor.problems.poisson((30, 30), nblocks=6)
    elif kind == "dask":
        A = da.from_delayed(dask.delayed(A), A.shape, A.dtype, meta=A)
    held = []

    def look(measurement):
        kinds = processes.run(lambda dask_worker: [type(v) for v in dask_worker.data.values()])
        held.append([kind for of_worker in kinds.values() for kind in of_worker])

    dasksor.solve(A, np.ones(900), mode=mode, blocks=6, maxiter=5, client=processes, callback=look)
    assert held[-1].count(DiagonalRows) == 6
    assert not any(issubclass(kind, sp.sparray) for kind in held[-1])
