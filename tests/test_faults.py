"""Workers that die, join or hang while an asynchronous solve runs on a real cluster."""

import gc
import os
import signal
import subprocess
import sys
import time

import dask
import numpy as np
import pytest
from conftest import assert_nothing_left
from distributed import Client, LocalCluster
from test_cluster import after, killer

import dasksor
from dasksor import problems

GRID = problems.poisson((60, 60))
RHS = np.sin(np.arange(3600))


def three_workers():
    """Three worker processes of one thread, which their nannies restart."""
    return LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture(scope="module")
def nursed():
    """Workers that tests may kill, for each is there again for the next test."""
    with three_workers() as made:
        yield made


@pytest.fixture
def cluster():
    """Workers that a test may slow down, stop or send away."""
    with three_workers() as made:
        yield made


def watched(cluster):
    with Client(cluster, set_as_default=False) as made:
        made.wait_for_workers(3)
        yield made
        gc.collect()
        assert_nothing_left(made)


@pytest.fixture
def client(cluster):
    yield from watched(cluster)


@pytest.fixture
def mortal(nursed):
    yield from watched(nursed)


def processes_of(client):
    return client.run(os.getpid)


def processes_in_use(client):
    """Of three workers a machine with two cores leaves the last one to spare."""
    return [pid for _, pid in sorted(processes_of(client).items())][:2]


@pytest.mark.parametrize("mailbox", ["direct", "variables"])
def test_exact_sweeps_are_bit_for_bit_the_same_after_a_kill(mortal, mailbox):
    victim = processes_in_use(mortal)[1]
    found = dasksor.solve(
        GRID, RHS, mode="async", staleness=0, blocks=7, mailbox=mailbox, client=mortal,
        callback=killer(victim, mortal, after=20), omega=1.5, rtol=1e-8,
    )  # fmt: skip
    assert found.success
    assert victim not in processes_of(mortal).values()
    np.testing.assert_array_equal(found.x, after(found.sweeps, GRID, RHS, omega=1.5).x)


@pytest.mark.parametrize(
    "options",
    [
        {"staleness": 2},
        {"staleness": None, "accelerate": None},
        {"accelerate": "cg"},
        {"accelerate": "gcr"},
    ],
)
def test_stale_and_accelerated_runs_survive_a_kill(mortal, options):
    victim = processes_in_use(mortal)[0]
    result = dasksor.solve(
        GRID, RHS, mode="async", rtol=1e-6, client=mortal, callback=killer(victim, mortal),
        **options,
    )  # fmt: skip
    assert result.success
    assert victim not in processes_of(mortal).values()
    assert result.residual(GRID, RHS) == pytest.approx(result.residual_norm, rel=1e-6)


def test_without_nannies_blocks_move_to_those_that_are_left():
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        started = [worker_without_nanny(cluster.scheduler_address) for _ in range(3)]
        try:
            client.wait_for_workers(3)
            kill = (started[0].pid, started[2].pid)
            killed = []

            def callback(progress):
                if len(killed) < 2 and progress.sweeps > 20 * (1 + len(killed)):
                    os.kill(kill[len(killed)], signal.SIGKILL)
                    killed.append(progress.sweeps)

            result = dasksor.solve(
                GRID, RHS, mode="async", staleness=0, omega=1.5, rtol=1e-8, client=client,
                callback=callback,
            )  # fmt: skip
            assert len(killed) == 2
            assert result.success
            np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.5).x)
            assert result.workers == 1
        finally:
            for process in started:
                process.kill()
                process.wait()


def worker_without_nanny(address):
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
    return subprocess.Popen([*command, "--nthreads", "1", "--no-dashboard"])


class Once:
    """A callback that does ``deed`` once, when more than ``after`` sweeps are done."""

    def __init__(self, deed, after=20):
        self.deed, self.after, self.done = deed, after, False

    def __call__(self, progress):
        if not self.done and progress.sweeps > self.after:
            self.done = True
            self.deed()


SLOW = {"mode": "async", "staleness": 0, "omega": 1.0}
LONG = SLOW | {"rtol": 1e-11}


def test_a_worker_that_joins_is_used(cluster, client):
    cluster.scale(1)
    while len(client.nthreads()) != 1:
        time.sleep(0.05)
    A = problems.poisson((120, 120))
    b = np.ones(A.shape[0])
    result = dasksor.solve(
        A, b, blocks=6, client=client, timeout=8.0, callback=Once(lambda: cluster.scale(2)), **LONG
    )
    assert result.workers == 2
    assert result.moves >= 1
    np.testing.assert_array_equal(result.x, after(result.sweeps, A, b, omega=1.0).x)


def test_a_worker_that_hangs_is_given_up(client):
    victim = processes_in_use(client)[0]
    with dask.config.set({"dasksor.hang": "3s"}):
        try:
            result = dasksor.solve(
                GRID, RHS, client=client, callback=Once(lambda: os.kill(victim, signal.SIGSTOP)),
                rtol=1e-8, **SLOW,
            )  # fmt: skip
        finally:
            os.kill(victim, signal.SIGCONT)
    assert result.success
    # A spare worker may have taken the place of one that seemed slow before it was known to hang.
    assert result.losses + result.moves >= 1
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.0).x)


def test_the_loss_of_the_scheduler_names_the_checkpoint(tmp_path):
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(tmp_path / "scheduler.json")],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    workers = []
    try:
        client = Client(scheduler_file=str(tmp_path / "scheduler.json"), set_as_default=False)
        workers = [worker_without_nanny(client.scheduler.address) for _ in range(2)]
        client.wait_for_workers(2)

        def cut(progress):
            if (tmp_path / "run" / "state.pkl").exists():
                scheduler.kill()

        with pytest.raises(dasksor.SchedulerLostError, match=r"dasksor\.resume\('.*run'\)"):
            dasksor.solve(
                GRID, RHS, client=client, checkpoint=tmp_path / "run", checkpoint_every=0.0,
                callback=cut, **LONG,
            )  # fmt: skip
        client.close(timeout=1)
    finally:
        for process in [scheduler, *workers]:
            process.kill()
            process.wait()
    result = dasksor.resume(tmp_path / "run")
    assert result.success
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.0).x)


def slow_down(seconds):
    """Make every pass of this worker take ``seconds`` longer; runs there."""
    from dasksor.engine.block import Block

    swift = Block.sweep

    def sweep(block):
        time.sleep(seconds)
        swift(block)

    Block.sweep = sweep


def test_blocks_move_away_from_a_slow_worker(client):
    slow = sorted(client.nthreads())[0]
    client.run(slow_down, 0.02, workers=[slow])
    result = dasksor.solve(GRID, RHS, blocks=12, client=client, timeout=60.0, rtol=1e-8, **SLOW)
    assert result.moves >= 1
    assert result.workers <= 3
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.0).x)


INTERRUPTED = """
import sys, threading, time, numpy as np, scipy.sparse as sp, dasksor, os, signal
from dasksor import problems
from distributed import Client, LocalCluster

def ctrl_c():
    os.killpg(os.getpgid(0), signal.SIGINT)

def cut(progress, armed=[True]):
    if armed and progress.sweeps > 20:
        armed.clear()
        threading.Timer(0.3, ctrl_c).start()

if __name__ == "__main__":
    # A shell's background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    A, b = problems.poisson((150, 150)), np.ones(22_500)
    options = {"omega": 1.0, "rtol": 1e-14, "callback": cut}
    mode = sys.argv[1]
    if mode == "threads":
        # Couplings of both signs leave no coarse space, and many iterations.
        G = sp.random_array((5000, 5000), density=0.001, rng=np.random.default_rng(0))
        A, b = sp.csr_array(G @ G.T + 1e-9 * sp.eye_array(5000)), np.ones(5000)
        options |= {"maxiter": 10**7}
    if mode in ("sequential", "threads"):
        result = dasksor.solve(A, b, mode=mode, **options)
    else:
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            with Client(cluster) as client:
                result = dasksor.solve(A, b, mode=mode, **options)
                assert len(client.nthreads()) == 2
    assert result.status is dasksor.Status.STOPPED, result
    assert result.history[-1].sweeps > 20
    assert abs(result.residual(A, b) / result.residual_norm - 1) < 1e-6
    print("stopped with", result.sweeps)
"""


@pytest.mark.parametrize("mode", ["sequential", "threads", "sync", "async"])
def test_ctrl_c_returns_the_best_verified_iterate(mode, tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, str(script), mode], capture_output=True, text=True, start_new_session=True
    )
    assert done.returncode == 0, done.stderr
    assert "stopped with" in done.stdout
