"""Studies: grids, interruption and resumption, tables, presets."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from dasksor.cli import main
from dasksor.study import Grid, Product, Record, Study, problems, run, tables
from dasksor.study.presets import PRESETS


def lines_of(folder):
    path = folder / "records.jsonl"
    return path.read_text("utf-8").splitlines() if path.exists() else []


# Problems and grids


def test_a_problem_is_what_its_name_says():
    dense, grid = problems.build("dense:50"), problems.build("poisson:6x7")
    assert dense.n == 50
    assert dense.nnz == 2500
    assert dense.residual(np.arange(1.0, 51.0)) < 1e-14
    assert grid.shape == (6, 7)
    assert grid.A.shape == (42, 42)
    for name in ("heat:5x5", "convection:5x5", "anisotropic:5x5", "elastic:3x3", "pagerank:30"):
        problem = problems.build(name)
        assert problem.A.shape == (problem.n, problem.n)


@pytest.mark.parametrize("name", ["dense", "dense:0", "poisson:3x", "nothing:3", "poisson:2x2x2x2"])
def test_an_unknown_problem_names_the_known_ones(name):
    with pytest.raises(ValueError, match=r"dense:1000, poisson:300x300"):
        problems.check(name)


def test_cells_that_differ_in_nothing_are_one():
    product = Product(
        ("dense:50",), (1, 2), ("sequential", "sync", "async"), staleness=(0, 2, "none"),
        mailboxes=("shared", "direct"), accelerate=("none", "cg"),
    )  # fmt: skip
    cells = Grid.of(product).cells()
    assert Counter(cell.mode for cell in cells) == {"sequential": 2, "sync": 2, "async": 16}
    assert {cell.workers for cell in cells if cell.mode == "sequential"} == {1}
    sync = next(cell for cell in cells if cell.mode == "sync")
    assert sync.options == {}
    assert sync.key(0) == "dense:50|dasksor|sync|-|-|1|#0"
    keys = {cell.key(0) for cell in cells}
    assert len(keys) == len(cells)
    assert "dense:50|dasksor|async|0|direct|2|#0" in keys
    free = next(cell for cell in cells if (cell.staleness, cell.accelerate) == ("none", "none"))
    assert free.options == {"staleness": None, "mailbox": "shared", "accelerate": None}


def test_a_grid_from_toml(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        'problems = ["dense:50"]\nrepeats = 2\nrtol = 1e-4\nworkers = [1, 2]\n'
        '[[products]]\nmodes = "async"\nstaleness = [0]\n'
        '[[products]]\nsystem = "c"\nmodes = ["synchronous"]\nworkers = 1\n'
    )
    grid = Grid.read(path)
    assert (grid.repeats, grid.rtol) == (2, 1e-4)
    assert [cell.key(0) for cell in grid.cells()] == [
        "dense:50|dasksor|async|0|auto|1|#0",
        "dense:50|dasksor|async|0|auto|2|#0",
        "dense:50|c|synchronous|-|-|1|#0",
    ]
    assert json.loads(json.dumps(grid.to_dict())) == grid.to_dict()
    path.write_text('problems = ["dense:50"]\nworker = 2\n')
    with pytest.raises(ValueError, match="unknown key 'worker': give some of problems, workers"):
        Grid.read(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--problem", "dense:50", "--workers", "0"], "workers must be integers of at least 1"),
        (["--problem", "dence:50"], "unknown problem 'dence:50': give names such as dense:1000"),
        (["--problem", "dense:50", "--mode", "fast"], "dasksor has no mode 'fast'"),
        (["--problem", "dense:50", "--peer", "d"], "unknown peer 'd': give some of c"),
        (["--problem", "dense:50", "--mailbox", "post"], "mailbox must be one of auto"),
        (["--problem", "dense:50", "--staleness", "-1"], "staleness must be integers >= 0"),
        (["--problem", "dense:50", "--repeats", "0"], "repeats must be at least 1"),
        (["--problem", "file:nowhere.mtx"], "there is no file nowhere.mtx"),
        ([], "nothing to solve"),
    ],
)
def test_bad_input_is_one_clear_error(tmp_path, words, message):
    folder = tmp_path / "study"
    done = CliRunner().invoke(main, ["study", "run", *words, "-o", str(folder)])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not folder.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    grid = Grid.of(Product(("dense:50",), (1,), ("sequential",)))
    with pytest.raises(FileExistsError, match="something else than a study"):
        run(grid, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("quick", [True, False])
def test_presets_hold_what_they_promise(name, quick):
    grid = PRESETS[name].grid(quick)
    assert grid.name == name
    workers = {cell.workers for cell in grid.cells()}
    if name == "seed" and not quick:
        assert {1, 20} <= workers
        assert {cell.problem for cell in grid.cells()} == {
            "dense:1000", "dense:2000", "dense:3000", "dense:5000",
        }  # fmt: skip


# Running


def test_a_study_in_this_process(tmp_path):
    grid = Grid.of(Product(("dense:50", "poisson:9x9"), (1,), ("sequential", "threads")), repeats=3)
    study = run(grid, tmp_path / "s")
    assert len(study.records) == 12
    alone = [record.repeat for record in study.records if record.workers == 1]
    assert alone == sorted(alone)
    assert all(record.success and record.residual <= 1e-6 for record in study.records)
    assert Study.load(tmp_path / "s").records == study.records
    # Again: another grid is refused, this one is done.
    with pytest.raises(FileExistsError, match="study of another grid"):
        run(Grid.of(*grid.products, repeats=4), tmp_path / "s")
    assert run(grid, tmp_path / "s").records == study.records
    meta = json.loads((tmp_path / "s" / "results.json").read_text())
    assert meta["machine"]["cores"] >= 1
    assert meta["versions"]["dasksor"]
    assert len(meta["cells"]) == 4


def test_what_a_system_cannot_do_is_skipped_and_said(tmp_path):
    grid = Grid.of(
        Product(("dense:50",), (2,), ("sequential",), "scipy-cg"),
        Product(("pagerank:50",), (1,), ("threads",), accelerate=("chebyshev",)),
        Product(("dense:50",), (1,), ("sequential",)),
        repeats=2,
    )
    records = run(grid, tmp_path / "s").records
    by_problem = {record.problem: record for record in records if record.skipped}
    assert "pagerank:50" in by_problem
    assert any(record.success for record in records)
    assert len(records) == 2 * len(grid.cells())


def test_medians_and_spread():
    def record(repeat, seconds, **more):
        return Record(
            f"p|dasksor|sync|-|-|2|#{repeat}", "p", "dasksor", "sync", 2, repeat,
            seconds=seconds, success=True, residual=1e-7 * repeat, sweeps=10.0, **more,
        )  # fmt: skip

    (row,) = tables.rows([record(0, 3.0), record(1, 1.0), record(2, 1.5)])
    assert (row["seconds"], row["fastest"], row["slowest"]) == (1.5, 1.0, 3.0)
    assert (row["runs"], row["successes"], row["residual"]) == (3, 3, 2e-7)
    (row,) = tables.rows([record(0, 0.0, skipped="no compiler")])
    assert row["seconds"] is None
    assert row["skipped"] == "no compiler"


PROGRAM = """
import signal, sys
from dasksor.cli import main
# A shell's background jobs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
main(["study", "run", "--problem", "dense:60", "--problem", "dense:40", "--workers", "1",
      "--repeats", "6", "--mode", "sequential,async", "--staleness", "0", "-o", sys.argv[1]])
"""


def test_an_interrupted_solve_is_no_run_and_ends_the_study(tmp_path):
    # Plain sweeps to the last digit, which take many seconds.
    grid = Grid.of(
        Product(("poisson:250000",), (1,), ("sequential",), accelerate=("none",)),
        repeats=1, rtol=1e-14, timeout=60.0,
    )  # fmt: skip
    timer = threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(grid, tmp_path / "s")
    timer.join()
    assert lines_of(tmp_path / "s") == []


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    folder, program = tmp_path / "s", tmp_path / "program.py"
    program.write_text(f"if __name__ == '__main__':{PROGRAM.replace(chr(10), chr(10) + '    ')}")
    command = [sys.executable, str(program), str(folder)]
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    # The first run on a cluster: workers are there, and many runs are left.
    while first.poll() is None and not any('"async"' in line for line in lines_of(folder)):
        time.sleep(0.01)
    # To all processes, as a terminal does.
    os.killpg(first.pid, signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "call again to go on" in said
    before = lines_of(folder)
    assert 0 < len(before) < 24
    # As if it had been killed while it wrote.
    with open(folder / "records.jsonl", "a") as file:
        file.write('{"key": "dense:60|da')
    second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stdout + second.stderr
    assert lines_of(folder)[: len(before)] == before
    records = Study.load(folder).records
    assert len({record.key for record in records}) == len(records) == 24
    assert all(record.success for record in records)
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        mine = [r.seconds for r in records if (r.problem, r.mode) == (row["problem"], row["mode"])]
        assert float(row["fastest"]) == min(mine)
        assert float(row["slowest"]) == max(mine)
        assert float(row["seconds"]) == pytest.approx(np.median(mine), rel=1e-12)
