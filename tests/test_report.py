"""The report of a study, and of one solve, as a browser shows them."""

import re

import numpy as np
import pytest
from browser import browser, errors, needs_browser

import dasksor
from dasksor.study.cells import by_workers, cells_of
from dasksor.study.findings import findings
from dasksor.study.record import Record, Study
from dasksor.study.report import write

SYSTEMS = (
    ("dasksor", "async", 0, "shared", 0.35, 0.85),
    ("dasksor", "async", "none", "shared", 0.40, 0.95),
    ("dasksor", "sync", None, None, 2.0, 0.5),
    ("c", "asynchronous", None, None, 0.30, 0.95),
    ("dispy", "asynchronous", None, None, 4.0, 0.7),
)


def study(counts=(1, 2, 4, 8, 20), problems=("dense:1000", "dense:3000")):
    """Two problems, five series; times that scale by each one's own power."""
    records = []
    for size, problem in enumerate(problems, start=1):
        for system, mode, staleness, mailbox, seconds, power in SYSTEMS:
            for workers in counts:
                for repeat in range(3):
                    wall = size**2 * seconds * (1 + 0.02 * repeat) / workers**power
                    wall += 0.01 * workers * (system == "dispy")
                    share = wall * workers
                    decay = [[wall * k / 10, 4 * k, 10.0 ** (-0.6 * k)] for k in range(11)]
                    records.append(
                        Record(
                            f"{problem}|{system}|{mode}|{staleness}|{mailbox}|{workers}|#{repeat}",
                            problem, system, mode, workers, repeat, n=1000 * size,
                            staleness=staleness, mailbox=mailbox, seconds=wall, sweeps=40.0,
                            sweeps_per_block=[40 + p % 3 for p in range(workers)],
                            residual=1e-6, success=True, omega=1.0, compute=0.6 * share,
                            communication=0.1 * share, tests=0.05 * share, waiting=0.2 * share,
                            messages=40 * workers * (workers - 1),
                            bytes=8000 * 40 * (workers - 1),
                            history=decay if system != "c" else [],
                            predicted_seconds=1.2 * wall if system == "dasksor" else None,
                        )
                    )  # fmt: skip
    records.append(Record("p", problems[0], "pyamg", "pyamg", 1, 0, skipped="<not> installed"))
    meta = {
        "name": "seed",
        "began": "2026-01-01",
        "machine": {"cores": 2},
        "versions": {"numpy": np.__version__},
        "commit": "abc",
        "grid": {"workers": list(counts)},
        "loc": {"dasksor": 170, "c": 470},
    }
    return Study(meta, records)


def opened(path, title):
    """Open the page; the titles of its charts."""
    with browser() as driver:
        driver.get(path.as_uri())
        shown = """return Bokeh.documents.flatMap(d => d.roots()).map(f => f.title.text)"""
        drawn = driver.execute_async_script(
            "const done = arguments[0]; const wait = () => window.Bokeh && Bokeh.documents.length"
            " && Bokeh.documents[0].is_idle ? done(true) : setTimeout(wait, 50); wait()"
        )
        assert drawn
        assert driver.title == title
        assert errors(driver) == []
        return driver.execute_script(shown)


def test_cells_are_medians_of_their_runs():
    cells = by_workers(c for c in cells_of(study().records) if c.problem == "dense:1000")
    assert list(cells["dasksor async exact shared"]) == [1, 2, 4, 8, 20]
    cell = cells["dasksor async exact shared"][1]
    assert cell.seconds == pytest.approx(0.35 * 1.02)
    assert sum(cell.split.values()) == pytest.approx(cell.seconds)
    assert "pyamg" not in cells


def test_findings_are_computed():
    cells = [c for c in cells_of(study().records) if c.problem == "dense:1000"]
    said = " ".join(findings(cells))
    assert said.startswith("Fastest is c asynchronous on 20 workers, median")
    assert re.search(r"dispy asynchronous: speedup [\d.]+ at 20 workers, the most", said)
    slow = [c for c in cells if c.workers == 1]
    assert "speedup" not in " ".join(findings(slow))
    assert findings([]) == ["No run succeeded."]


def test_a_study_without_success_has_a_report(tmp_path):
    page = write(
        Study({}, [Record("k", "p", "c", "sync", 1, 0, skipped="<b>")]), tmp_path / "r.html"
    )
    text = page.read_text("utf-8")
    assert "No run succeeded." in text
    assert "Nothing was predicted." in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text


@needs_browser
def test_the_report_of_a_study_opens_without_errors(tmp_path):
    titles = opened(
        write(study(counts=(1, 3), problems=("dense:1000",)), tmp_path / "report.html", "dark"),
        "Study seed",
    )
    assert titles.count("Speedup") == titles.count("Bytes") == 1
    assert titles[-1] == "Measured against predicted"


@needs_browser
def test_the_report_of_a_solve_opens_without_errors(tmp_path):
    A = dasksor.problems.poisson((30, 30))
    result = dasksor.solve(A, np.ones(900), mode="sequential", accelerate=None)
    titles = opened(result.report(tmp_path / "solve.html"), "A solve by dasksor")
    assert titles == ["Residual against time", "Where time went"]
