"""Solves that are cut short and go on from disk."""

import pickle
import subprocess
import sys
import time

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from test_cluster import after

import dasksor
from dasksor import problems

pytestmark = pytest.mark.usefixtures("tidy")

GRID = problems.poisson((50, 60))
RHS = np.cos(np.arange(3000))


class PowerCutError(Exception):
    """What ends the client of a solve."""


def cut_after(sweeps, folder):
    """A callback that ends the client once a state after ``sweeps`` is on disk."""

    def callback(progress):
        if progress.sweeps > sweeps and (folder / "state.pkl").exists():
            raise PowerCutError

    return callback


@pytest.mark.parametrize("blocks", [3, 8])
def test_exact_sweeps_go_on_bit_for_bit(processes, threads, tmp_path, blocks):
    options = {"mode": "async", "staleness": 0, "omega": 1.4, "rtol": 1e-9, "blocks": blocks}
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, client=processes, checkpoint=tmp_path, checkpoint_every=0.0,
            callback=cut_after(60, tmp_path), **options,
        )  # fmt: skip
    seen = []
    result = dasksor.resume(tmp_path, client=threads, callback=lambda m: seen.append(m.sweeps))
    assert result.success
    assert min(seen) > 5, "it began anew"
    assert result.history[0].sweeps == 0
    assert result.reason == f"resumed from {tmp_path}"
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.4).x)
    assert result.residual(GRID, RHS) == pytest.approx(result.residual_norm, rel=1e-6)


@pytest.mark.parametrize("options", [{"accelerate": "cg"}, {"staleness": 1}])
def test_other_runs_go_on_to_a_verified_answer(processes, tmp_path, options):
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, mode="async", rtol=1e-9, client=processes, checkpoint=tmp_path,
            checkpoint_every=0.0, callback=cut_after(0, tmp_path), **options,
        )  # fmt: skip
    result = dasksor.resume(tmp_path, client=processes)
    assert result.success
    assert result.residual(GRID, RHS) == pytest.approx(result.residual_norm, rel=1e-6)
    assert result.accelerate == options.get("accelerate")


def test_a_resumed_solve_writes_on_and_can_be_cut_short_again(threads, tmp_path):
    options = {"mode": "async", "staleness": 0, "omega": 1.2, "rtol": 1e-9}
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, client=threads, checkpoint=tmp_path, checkpoint_every=0.0,
            callback=cut_after(50, tmp_path), **options,
        )  # fmt: skip
    with pytest.raises(PowerCutError):
        dasksor.resume(tmp_path, client=threads, callback=cut_after(150, tmp_path))
    result = dasksor.resume(tmp_path, client=threads)
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.2).x)


def test_before_the_first_state_it_begins_anew(threads, tmp_path):
    def at_once(progress):
        raise PowerCutError

    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, mode="async", client=threads, checkpoint=tmp_path, callback=at_once
        )
    assert not (tmp_path / "state.pkl").exists()
    result = dasksor.resume(tmp_path, client=threads, timeout=60.0)
    assert result.success


def test_the_timeout_of_a_resumed_solve_counts_from_its_own_start(threads, tmp_path):
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, mode="async", staleness=0, omega=1.0, rtol=1e-12, client=threads,
            checkpoint=tmp_path, checkpoint_every=0.0, callback=cut_after(100, tmp_path),
        )  # fmt: skip
    before = dasksor.engine.checkpoint.load(tmp_path)[1].time
    result = dasksor.resume(tmp_path, client=threads, timeout=0.3)
    assert result.status is dasksor.Status.TIMEOUT
    assert result.history[-1].time > before


def test_a_new_solve_does_not_go_on_from_an_old_state(threads, tmp_path):
    with pytest.raises(PowerCutError):
        dasksor.solve(
            GRID, RHS, mode="async", staleness=0, client=threads, checkpoint=tmp_path,
            checkpoint_every=0.0, callback=cut_after(20, tmp_path),
        )  # fmt: skip
    other = dasksor.solve(
        GRID, 2.0 * RHS, mode="async", staleness=0, client=threads, checkpoint=tmp_path
    )
    assert other.history[0].sweeps == 0
    assert not (tmp_path / "state.pkl").exists()


def test_what_cannot_be_resumed_is_refused(threads, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        dasksor.resume(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file: give a folder"):
        dasksor.solve(GRID, RHS, mode="async", checkpoint=tmp_path / "file", client=threads)
    with pytest.raises(ValueError, match="checkpoint has no meaning in mode 'sync'"):
        dasksor.solve(GRID, RHS, mode="sync", checkpoint=tmp_path / "new", client=threads)
    with pytest.raises(ValueError, match=r"checkpoint_every must be a number of seconds >= 0, got"):
        dasksor.solve(GRID, RHS, mode="async", checkpoint=tmp_path, checkpoint_every=-1)


def test_dask_arrays_and_row_factories_are_written_too(threads, tmp_path):
    A = problems.poisson((50, 60), nblocks=5)
    b = da.from_array(RHS, chunks=700)
    with pytest.raises(PowerCutError):
        dasksor.solve(
            A, b, mode="async", staleness=0, omega=1.4, rtol=1e-9, client=threads,
            checkpoint=tmp_path, checkpoint_every=0.0, callback=cut_after(40, tmp_path),
        )  # fmt: skip
    result = dasksor.resume(tmp_path, client=threads)
    assert isinstance(result.x, da.Array)
    with_client = threads.compute(result.x, sync=True)
    np.testing.assert_array_equal(with_client, after(result.sweeps, GRID, RHS, omega=1.4).x)


def test_the_state_on_disk_is_always_whole(threads, tmp_path):
    whole = []

    def look(progress):
        state = tmp_path / "state.pkl"
        if state.exists():
            whole.append(pickle.loads(state.read_bytes()).epoch)

    dasksor.solve(
        GRID, RHS, mode="async", staleness=0, omega=1.0, rtol=1e-6, client=threads,
        checkpoint=tmp_path, checkpoint_every=0.0, callback=look,
    )  # fmt: skip
    assert whole == sorted(whole)
    assert len(set(whole)) > 2


SCRIPT = """
import sys, numpy as np, dasksor
from dasksor import problems
from distributed import Client
if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        A = problems.poisson((50, 60))
        dasksor.solve(A, np.cos(np.arange(3000)), mode="async", staleness=0, omega=1.0, rtol=1e-13,
                      checkpoint=sys.argv[2], checkpoint_every=0.0)
"""


def test_a_killed_client_loses_nothing(tmp_path):
    folder = tmp_path / "run"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        script = [sys.executable, "-c", SCRIPT, cluster.scheduler_address, str(folder)]
        process = subprocess.Popen(script)
        while not (folder / "state.pkl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        with Client(cluster, set_as_default=False) as client:
            result = dasksor.resume(folder, client=client, timeout=1.0)
    assert result.history[0].sweeps == 0
    np.testing.assert_array_equal(result.x, after(result.sweeps, GRID, RHS, omega=1.0).x)
