"""The page of solves: what is said, what is kept, and what a browser shows of it."""

import json
import logging
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import dask
import numpy as np
import pytest
from browser import browser, errors, needs_browser
from click.testing import CliRunner
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st

import dasksor
from dasksor import cli, problems
from dasksor.dashboard import live
from dasksor.dashboard.history import SOLVES, History, Series
from dasksor.engine.ticker import INTERVAL, PHASES, Ticker

A, B = problems.poisson((40, 40)), np.ones(1600)
PRELOAD = {"distributed.scheduler.preload": ["dasksor.dashboard.preload"]}


@pytest.fixture
def lone():
    """A client of a scheduler that has heard of no solve yet."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def stories(client):
    """Of each story that the scheduler keeps: head, status, newest beat, measured residuals."""

    def look(dask_scheduler):
        history = dask_scheduler.plugins.get(History.name)
        kept = history.stories.values() if history else ()
        return [(s.head, s.status, s.now, s.residuals.points) for s in kept]

    return client.run_on_scheduler(look)


def fetched(client, path):
    with urllib.request.urlopen(client.dashboard_link.replace("/status", path)) as answer:
        return answer.read().decode()


# What is kept


@given(st.integers(0, 2000), st.integers(2, 50))
def test_series_keep_a_bounded_even_choice_with_both_ends(count, most):
    series = Series(most)
    for k in range(count):
        series.add((k,))
    kept = [k for (k,) in series.points]
    assert len(kept) <= most + 1
    assert kept == sorted(set(kept))
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)
        # All steps are equal but the last, and no coarser than they have to be.
        steps = np.diff(kept[:-1])
        assert len(set(steps)) <= 1
        assert len(kept) >= min(count, most // 2)


def test_only_the_last_solves_are_kept_and_strangers_are_not_heard():
    history = History()
    for k in range(SOLVES + 5):
        history.log_event("dasksor", {"solve": str(k), "what": "begin"})
    history.log_event("another topic", {"solve": "x", "what": "begin"})
    history.log_event("dasksor", {"solve": "0", "what": "end", "status": "long forgotten"})
    assert list(history.stories) == [str(k) for k in range(5, SOLVES + 5)]


def test_a_slow_listener_is_told_less():
    ticker = Ticker(lambda event: time.sleep(0.01), "slow", {})
    with ticker.counted():
        time.sleep(0.01)
    assert not ticker.due()
    assert ticker._next - time.monotonic() > 2 * INTERVAL


# What is said


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_solve_tells_its_story(lone, mode):
    result = dasksor.solve(A, B, mode=mode, blocks=4, omega=1.8, rtol=1e-3, client=lone)
    ((head, status, now, residuals),) = stories(lone)
    assert (head["mode"], head["n"], head["blocks"]) == (mode, 1600, 4)
    assert status == result.message
    assert [list(m) for m in residuals] == [list(m) for m in result.history]
    assert now["target"] == pytest.approx(1e-3 * 40.0)
    assert now["omega"] == 1.8
    assert len(now["sweeps"]) == 4
    assert len(now["split"]) == result.workers
    assert all(len(seconds) == len(PHASES) for seconds in now["split"].values())
    assert 0 <= now["messages"] <= result.messages
    assert len(lone.get_events("dasksor")) >= 3


def test_exact_sweeps_use_no_old_values_and_free_ones_say_how_old(lone):
    ages = {}
    for staleness in (0, None):
        dasksor.solve(
            A, B, mode="async", staleness=staleness, accelerate=None, omega=1.0, blocks=4,
            rtol=0.0, maxiter=2000, client=lone,
        )  # fmt: skip
        grid = stories(lone)[-1][2]["ages"]
        read = [
            (i, j) for i, row in enumerate(grid) for j, age in enumerate(row) if age is not None
        ]
        assert read == [(i, j) for i in range(4) for j in range(4) if abs(i - j) == 1]
        ages[staleness] = {age for row in grid for age in row if age is not None}
    assert ages[0] == {0}
    assert ages[None] != set()


def test_nothing_is_said_where_it_is_not_wanted_or_not_seen(lone):
    with dask.config.set({"dasksor.dashboard": False}):
        dasksor.solve(A, B, mode="async", client=lone)
    dasksor.solve(A, B, mode="sequential")
    assert stories(lone) == []
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as blind,
        Client(blind, set_as_default=False) as client,
    ):
        assert dasksor.solve(A, B, mode="async", client=client).success
        assert stories(client) == []
        assert not client.get_events("dasksor")


def test_a_scheduler_that_runs_no_code_of_clients_is_said_to_once(lone, caplog):
    lone.cluster.scheduler.handlers.pop("run_function")
    with caplog.at_level(logging.WARNING, "dasksor"):
        for _ in range(2):
            assert dasksor.solve(A, B, mode="async", client=lone).success
    said = [record.message for record in caplog.records if "dashboard" in record.message]
    assert len(said) == 1
    assert "distributed.scheduler.preload" in said[0]
    # The preload gives it the page nevertheless.
    lone.sync(_in_loop, live.add_page, lone.cluster.scheduler)
    assert dasksor.solve(A, B, mode="async", client=lone).success
    assert len(lone.get_events("dasksor")) >= 3


async def _in_loop(function, *arguments):
    return function(*arguments)


# What is shown


def test_a_preload_lists_the_page_among_those_of_dask():
    code = f"""
import dask, urllib.request
from distributed import LocalCluster
dask.config.set({PRELOAD!r})
with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
    for page in ("individual-plots.json", "status", "dasksor", "individual-dasksor"):
        link = cluster.dashboard_link.replace("status", page)
        print(urllib.request.urlopen(link).read().decode())
    print(list(cluster.scheduler.plugins))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plots = json.loads(told.stdout.splitlines()[0])
    assert plots["Individual Dasksor"] == "/individual-dasksor"
    assert '<a href="dasksor">' in told.stdout
    assert "<title>Dask: dasksor</title>" in told.stdout
    assert History.name in told.stdout


def test_the_page_is_added_to_a_live_scheduler_once(lone):
    for _ in range(2):
        dasksor.solve(A, B, mode="async", client=lone)
    applications = lone.cluster.scheduler.http_application.applications
    assert sum("/dasksor" in live._paths(app) for app in applications) == 1
    assert fetched(lone, "/status").count('href="dasksor"') == 1
    assert "Dask: dasksor" in fetched(lone, "/individual-dasksor")


SOURCES = """
const found = {};
for (const model of Bokeh.documents[0]._all_models.values())
    if (model.type === "ColumnDataSource" && model.name)
        found[model.name] = model.get_length();
return found;
"""


@needs_browser
def test_curves_grow_in_a_browser_while_a_solve_runs(lone):
    enough = threading.Event()
    solve = threading.Thread(
        target=dasksor.solve,
        args=(A, B),
        kwargs={
            "mode": "async", "staleness": 0, "accelerate": None, "omega": 1.0, "rtol": 0.0,
            "maxiter": 10**9, "timeout": 60.0, "client": lone,
            "callback": lambda _: enough.is_set(),
        },
    )  # fmt: skip
    dasksor.solve(A, B, mode="async", client=lone)
    solve.start()
    seen: list[dict] = []
    try:
        with browser(dark=True) as page:
            page.get(live.link_of(lone))
            deadline = time.monotonic() + 40.0
            while time.monotonic() < deadline and len(seen) < 3:
                time.sleep(0.2)
                found = page.execute_script("return window.Bokeh && Bokeh.documents.length")
                found = page.execute_script(SOURCES) if found else {}
                if found.get("traffic", 0) > (seen[-1]["traffic"] if seen else 0):
                    seen.append(found)
            complaints, address = errors(page), page.current_url
    finally:
        enough.set()
        solve.join()
    assert len(seen) == 3
    assert seen[-1]["residuals"] >= seen[0]["residuals"] > 0
    assert all(seen[-1][name] > 0 for name in ("ages", "sweeps", "split", "snapshots"))
    # The system asks for dark pages.
    assert address.endswith("?theme=dark")
    assert complaints == []


# From the command line


def test_dashboard_and_profile_of_the_command_line(tmp_path):
    np.save(tmp_path / "a.npy", problems.dense_spd(60, dominance=2.0))
    report = tmp_path / "report.html"
    command = ["solve", str(tmp_path / "a.npy"), "--workers", "1"]
    told = CliRunner().invoke(cli.main, [*command, "--dashboard", "--profile", str(report)])
    assert told.exit_code == 0, told.output
    assert "/dasksor shows the solve while it runs" in told.output
    page = report.read_text()
    assert "Task Stream" in page
    corner = page[page.rindex("Tasks of dasksor") :]
    assert all(phase in corner for phase in ("compute", "communication", "tests", "waiting"))
    refused = CliRunner().invoke(cli.main, [*command[:2], "--mode", "threads", "--dashboard"])
    assert refused.exit_code == 2
    assert "--dashboard has no meaning with --mode threads" in refused.output
    nowhere = str(Path(tmp_path) / "missing" / "report.html")
    assert CliRunner().invoke(cli.main, [*command, "--profile", nowhere]).exit_code == 2


def test_phases_of_long_tasks_are_among_dasks_performance_metrics(lone):
    result = dasksor.solve(A, B, mode="async", accelerate=None, client=lone)
    time.sleep(1.2)
    spent = lone.cluster.scheduler.cumulative_worker_metrics
    for phase in ("compute", "waiting"):
        measured = sum(
            seconds for key, seconds in spent.items() if key[0] == "execute" and phase in key
        )
        assert measured >= 0.5 * result.timings["total"][phase]
