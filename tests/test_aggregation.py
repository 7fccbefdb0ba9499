"""Levels of aggregates: their matrices, their sizes, and the choice among them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_spd, seeds

from dasksor import problems
from dasksor.accelerate.aggregation import (
    FEWEST,
    LEAST_GROWTH,
    QUICK,
    SPAN,
    finest_within,
    groups_at,
    levels_of,
)
from dasksor.coarse import Factors


def indicators(group, count):
    inside = np.flatnonzero(group >= 0)
    return sp.csr_array((np.ones(inside.size), (inside, group[inside])), (group.size, count))


def assert_galerkin(A, levels, first, last):
    block = sp.csr_array(A)[first:last, first:last]
    for number, level in enumerate(levels):
        group = groups_at(levels, number)
        assert group.shape == (last - first,)
        np.testing.assert_array_equal(np.unique(group[group >= 0]), np.arange(level.size))
        Z = indicators(group, level.size)
        found, expected = level.matrix.toarray(), (Z.T @ block @ Z).toarray()
        np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(60, 150), st.data())
def test_levels_are_galerkin_matrices_of_the_rows_asked_for(seed, n, data):
    A = sp.csr_array(random_spd(np.random.default_rng(seed), n))
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    assert_galerkin(A, levels_of(A, first, last), first, last)


@pytest.mark.parametrize("shape", [(40, 40), (17, 90), (12, 13, 14)])
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.3, 0.9)])
def test_levels_of_a_grid_nearly_halve_it_and_stay_connected(shape, window):
    A = problems.poisson(shape)
    first, last = (int(edge * A.shape[0]) for edge in window)
    levels = levels_of(A, first, last)
    assert_galerkin(A, levels, first, last)
    sizes = [last - first, *(level.size for level in levels)]
    assert all(0.4 * a <= b <= 0.7 * a for a, b in pairwise(sizes))
    assert sizes[-1] <= FEWEST < sizes[-2]
    block = A[first:last, first:last]
    group = groups_at(levels, 3)
    for number in range(levels[3].size):
        inside = np.flatnonzero(group == number)
        assert sp.csgraph.connected_components(block[inside][:, inside])[0] == 1


@pytest.mark.parametrize(("epsilon", "strong"), [(0.001, 0), (1000.0, 1)])
def test_aggregates_lie_along_the_strong_direction(epsilon, strong):
    shape = (32, 32)
    levels = levels_of(problems.anisotropic(shape, epsilon), 0, 1024)
    place = np.unravel_index(np.arange(1024), shape)
    for number in range(3):
        group = groups_at(levels, number)
        widths = [np.ptp(place[1 - strong][group == g]) for g in range(levels[number].size)]
        lengths = [np.ptp(place[strong][group == g]) for g in range(levels[number].size)]
        assert max(widths) == 0
        assert min(lengths) >= 1


@pytest.mark.parametrize(
    "A",
    [
        sp.csr_array(3.0 * sp.eye_array(500)),
        sp.csr_array(problems.poisson((FEWEST,))),
        sp.csr_array(abs(problems.poisson((20, 20)))),
    ],
    ids=["isolated rows", "few rows", "positive couplings"],
)
def test_there_are_no_levels_where_nothing_can_be_paired(A):
    levels = levels_of(A, 0, A.shape[0])
    assert levels == []
    assert finest_within(levels, 1e9) == -1


@pytest.mark.parametrize("shape", [(60, 60), (200, 200), (17, 90), (20, 20, 20)])
def test_the_fill_is_predicted_from_two_coarse_levels(shape):
    n = math.prod(shape)
    levels = levels_of(problems.poisson(shape), 0, n)
    known = next(k for k, level in enumerate(levels) if level.size <= QUICK)
    coarser = min(len(levels) - 1, known + SPAN)
    fill, least = (Factors(levels[k].matrix).nnz for k in (known, coarser))
    growth = max(LEAST_GROWTH, (fill / least) ** (1.0 / (coarser - known)))
    assert finest_within(levels, 1e-9) == -1
    # The one that is known fits or does not, as it is; the others grow alike.
    assert finest_within(levels, fill) == known
    assert finest_within(levels, fill - 1) == known + 1
    for number in range(len(levels)):
        predicted = fill * growth ** (known - number)
        assert finest_within(levels, 1.0001 * predicted) == number
        coarsest = number == len(levels) - 1
        assert finest_within(levels, 0.9999 * predicted) == (-1 if coarsest else number + 1)
    assert finest_within(levels, 1e12) == 0


@pytest.mark.parametrize("shape", [(60, 60), (200, 200), (20, 20, 20)])
def test_predictions_are_near_the_factors_of_fine_levels(shape):
    levels = levels_of(problems.poisson(shape), 0, math.prod(shape))
    for number, level in enumerate(levels[:4]):
        assert abs(finest_within(levels, Factors(level.matrix).nnz) - number) <= 1


def test_graphs_that_are_nearly_trees_have_finer_aggregates():
    A = problems.power_grid("case2383wp", absolute=True)
    levels = levels_of(A, 0, A.shape[0])
    budget = 0.3 * A.nnz
    assert Factors(levels[1].matrix).nnz > budget
    assert finest_within(levels, budget) == 0
    # As nearly linear, but without leaves: pairs are pairs.
    strip = problems.poisson((1250, 80))
    levels = levels_of(strip, 0, strip.shape[0])
    assert Factors(levels[finest_within(levels, 0.3 * strip.nnz)].matrix).nnz < 0.5 * strip.nnz


def test_rows_without_couplings_are_in_no_aggregate():
    A = problems.poisson((20, 20))
    mixed = sp.csr_array(sp.block_diag([2.0 * sp.eye_array(300), A, sp.eye_array(7)]))
    alone, levels = levels_of(A, 0, 400), levels_of(mixed, 0, 707)
    assert [level.size for level in levels] == [level.size for level in alone]
    for number in range(len(levels)):
        group = groups_at(levels, number)
        np.testing.assert_array_equal(group[300:700], groups_at(alone, number))
        assert (np.delete(group, np.arange(300, 700)) == -1).all()


def test_large_factors_are_predicted_without_making_them(monkeypatch):
    levels = levels_of(problems.poisson((200, 200)), 0, 40_000)
    fill = Factors(levels[2].matrix).nnz
    assert levels[2].size > 4000
    made = []

    def factors(matrix):
        made.append(matrix.shape[0])
        return Factors(matrix)

    monkeypatch.setattr("dasksor.accelerate.aggregation.Factors", factors)
    assert finest_within(levels, 0.4 * fill) > 2
    assert finest_within(levels, 2.5 * fill) <= 2
    assert max(made) <= QUICK
    assert len(made) == 4
