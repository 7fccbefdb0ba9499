"""What `dasksor study machine` measures, on small counts."""

import json
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from click.testing import CliRunner

from dasksor.kernels import words
from dasksor.study import contention, costs
from dasksor.study import machine as module

SMALL = costs.Effort(times=2_000, rounds=20, calls=3, seconds=0.1, nbytes=1_000_000, side=30, n=100)


def at_once(job, count=2):
    threads = [threading.Thread(target=job, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_locked_adds_lose_nothing():
    gate, shared = contention.lined(16), contention.lined(8)
    at_once(lambda k: words.count_locked(gate, 2, shared, 3, 50_000))
    assert shared[3] == 100_000
    assert shared.sum() == 100_000


def test_counters_on_one_line_keep_apart():
    gate, shared = contention.lined(16), contention.lined(8)
    at_once(lambda k: words.count(gate, 2, shared, k, 50_000))
    assert shared[:2].tolist() == [50_000, 50_000]


def test_the_ticket_lock_serves_all():
    gate, lock = contention.lined(16), contention.lined(16)
    at_once(lambda k: words.spin_lock(gate, 2, lock, 1_000))
    assert lock[0] == lock[8] == 2_000


def test_nobody_leaves_the_barrier_early():
    gate, shared = contention.lined(16), contention.lined(16)
    seen = [[], []]

    def job(k):
        for _ in range(20):
            words.count_locked(contention.lined(16), 1, shared, 0, 1)
            words.spin_barrier(gate, 2, 1)
            seen[k].append(int(shared[0]))
            words.spin_barrier(gate, 2, 1)

    at_once(job)
    assert seen == [list(range(2, 42, 2))] * 2


@pytest.mark.parametrize("shift", [0, 8, 32])
def test_vectors_begin_where_asked(shift):
    values = contention.lined(100, np.float64, shift)
    assert values.ctypes.data % contention.LINE == shift
    assert values.size == 100
    assert not values.any()


def test_words_are_int64():
    with pytest.raises(Exception, match="vectors of int64"):
        words.count(contention.lined(16), 1, np.zeros(8), 0, 1)


def test_everything_is_measured(monkeypatch, tmp_path, processes, threads):
    monkeypatch.setattr(module, "QUICK", SMALL)
    monkeypatch.setattr(contention, "PATIENCE", 0.05)
    clients = {True: processes, False: threads}
    monkeypatch.setattr(costs, "_two_workers", lambda processes: nullcontext(clients[processes]))
    file = tmp_path / "costs.json"
    ran = CliRunner().invoke(module.machine, ["--quick", "--json", str(file)])
    assert ran.exit_code == 0, ran.output
    found = json.loads(file.read_text())["costs"]
    groups = list(dict.fromkeys(cost["group"] for cost in found))
    assert groups == ["cache lines", "locks", "barriers", "messages", "memory", "kernels"]
    assert all(cost["value"] > 0 and cost["sentence"] for cost in found)
    assert all(cost["limit"] is None or cost["limit"] > 0 for cost in found)
    assert all(group in ran.output for group in groups)


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    ran = CliRunner().invoke(module.machine, ["--json", str(tmp_path / "none" / "costs.json")])
    assert ran.exit_code == 2
    assert "existing folder" in ran.output


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(2e-9, "s", "2 ns"), (3e-6, "s", "3 us"), (0.0145, "s", "14.5 ms"), (2e10, "B/s", "20 GB/s")],
)
def test_figures_have_prefixes(value, unit, text):
    assert module.shown(value, unit) == text
