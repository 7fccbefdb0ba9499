import subprocess
import sys

import numpy as np
import pytest
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Span

import dasksor
from dasksor import charts
from dasksor.charts.curves import speedups
from dasksor.charts.look import THEMES, line_of
from dasksor.charts.page import Page


def columns(made, name):
    """What column ``name`` of each source of a figure holds."""
    sources = {r.data_source for r in made.renderers}
    return [list(s.data[name]) for s in sources if name in s.data]


def legend(made):
    return [item.label.value for item in made.legend[0].items]


def test_residuals_have_a_curve_each_and_the_tolerance():
    made = charts.residuals({"a": [(0.0, 0, 1.0), (1.0, 5, 0.0)], "b": [(0.0, 0, 2.0)]}, 1e-3)
    assert legend(made) == ["a", "b", "tolerance"]
    (line,) = made.select(Span)
    assert line.location == 1e-3
    found = sorted(columns(made, "residual"), key=len)
    assert found[0] == [2.0]
    # A logarithmic axis has no place for 0.
    assert found[1][0] == 1.0
    assert np.isnan(found[1][1])


def test_speedup_is_against_one_worker_or_the_fewest():
    assert speedups({1: 8.0, 2: 4.0, 4: 4.0}) == {1: 1.0, 2: 2.0, 4: 2.0}
    assert speedups({2: 8.0, 4: 2.0}) == {2: 2.0, 4: 8.0}
    assert speedups({}) == {}
    made = charts.speedup({"a": {1: 8.0, 4: 4.0}})
    assert columns(made, "value") == [[1.0, 2.0]]
    assert legend(made) == ["a", "ideal"]
    assert columns(charts.efficiency({"a": {1: 8.0, 4: 4.0}}), "value") == [[1.0, 0.5]]


def test_split_stacks_the_phases_that_took_time():
    made = charts.split({("a", "1"): {"compute": 1.0}, ("a", "2"): {"tests": 2.0, "setup": 0.0}})
    assert legend(made) == ["compute", "tests"]
    (source,) = {r.data_source for r in made.renderers}
    # The first row is the uppermost, where an axis ends.
    assert made.y_range.factors == [("a", "2"), ("a", "1")]
    assert source.data["compute"] == [0.0, 1.0]


def test_bars_leave_out_what_is_missing():
    made = charts.versus({"sync": {1: 2.0, 2: 1.0}, "async": {2: 0.5}})
    assert made.x_range.factors == ["1", "2"]
    assert sorted(columns(made, "value")) == [[0.5], [2.0, 1.0]]
    assert charts.sweeps({"a": [4, 5, 6]}).legend == []


def test_traffic_and_predictions():
    messages, megabytes = charts.traffic({"a": {1: 0, 2: 10}}, {"a": {1: 0, 2: 5_000_000}})
    assert columns(messages, "value") == [[10]]
    assert columns(megabytes, "value") == [[5.0]]
    made = charts.predicted({"a": [(1.0, 2.0)]})
    assert legend(made) == ["a", "as predicted"]


def test_lines_differ():
    assert len({tuple(line_of(k).items()) for k in range(24)}) == 24


def test_text_on_a_page_is_escaped():
    page = Page("<one>", "dark")
    page.say("<two>")
    page.table(["<three>"], [["{0}"]])
    page.charts([charts.sweeps({"a": [1]})])
    html = page.html()
    assert "<one>" not in html
    assert "&lt;two&gt;" in html
    assert "{0}" in html
    with pytest.raises(ValueError, match="light, dark"):
        Page("a", "grey")
    assert set(THEMES) == {"light", "dark"}


@pytest.fixture(scope="module")
def free():
    A = dasksor.problems.poisson((12, 12))
    run = dasksor.simulate(A, np.ones(144), workers=2, blocks=4, stragglers=[1], pause=3.0,
                           staleness=None, accelerate=None, rtol=1e-2)  # fmt: skip
    return run.result


def test_sweeps_of_each_block_are_in_the_result(free):
    assert len(free.sweeps_per_block) == 4
    assert min(free.sweeps_per_block[:2]) > max(free.sweeps_per_block[2:])
    alone = dasksor.solve(np.eye(3), np.ones(3), mode="sequential", accelerate=None)
    assert alone.sweeps_per_block == [alone.sweeps]


def test_the_target_is_the_largest_norm_that_converged_means():
    A, b = np.diag([1.0, 2.0]), np.array([[3.0, 0.0], [4.0, 1.0]])
    result = dasksor.solve(A, b, rtol=1e-3, atol=2e-3, mode="sequential", accelerate=None)
    assert result.target.tolist() == [5e-3, 2e-3]
    assert result.to_dict()["target"] == [5e-3, 2e-3]


def test_a_result_draws_itself(free):
    grid = free.plot()
    swept = [
        list(source.data["value"])
        for source in grid.select({"type": ColumnDataSource})
        if "group" in source.data
    ]
    assert swept == [free.sweeps_per_block]
    html = free._repr_html_()
    assert "<svg" in html
    assert "<script" not in html


def test_a_result_without_a_residual_to_draw_has_a_table():
    result = dasksor.solve(np.eye(2), np.zeros(2), mode="sequential")
    assert "<svg" not in result._repr_html_()
    result.plot()


def test_bokeh_is_loaded_only_to_draw():
    asked = "import dasksor, sys; sys.exit('bokeh.plotting' in sys.modules)"
    subprocess.run([sys.executable, "-c", asked], check=True)
