"""Blocks cover the rows; what one block takes is what another gives."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_cuts, random_dominant, seeds

from dasksor import problems
from dasksor.analysis import row_facts
from dasksor.partition import Partition, compact, crossings, exchanges, hull
from dasksor.rows import canonical_csr, prepare_rows
from dasksor.system import LinearSystem

quick = settings(deadline=None, max_examples=60)


@st.composite
def n_and_blocks(draw, most=60):
    n = draw(st.integers(1, most))
    return n, draw(st.integers(1, n))


def assert_cut(partition, n, nblocks):
    assert partition.bounds[0] == 0
    assert partition.n == n
    assert partition.nblocks == nblocks
    assert min(partition.sizes) >= 1
    assert sum(partition.sizes) == n
    assert [stop - start for start, stop in partition.ranges] == list(partition.sizes)
    assert all(type(bound) is int for bound in partition.bounds)


@quick
@given(n_and_blocks(2000))
def test_even_blocks_differ_by_one_row_at_most(case):
    partition = Partition.even(*case)
    assert_cut(partition, *case)
    assert max(partition.sizes) - min(partition.sizes) <= 1


@quick
@given(n_and_blocks(), seeds, st.sampled_from([0, 1, 1000]))
def test_balanced_blocks_cover_all_rows_and_none_is_empty(case, seed, heavy):
    n, nblocks = case
    work = np.random.default_rng(seed).integers(0, 3, n)
    work[seed % n] += heavy
    assert_cut(Partition.balanced(work, nblocks), n, nblocks)


@quick
@given(n_and_blocks(), seeds)
def test_balanced_blocks_have_nearly_equal_work(case, seed):
    n, nblocks = case
    work = np.random.default_rng(seed).integers(1, 10, n)
    partition = Partition.balanced(work, nblocks)
    loads = [work[start:stop].sum() for start, stop in partition.ranges]
    # A block cannot be fairer than its heaviest row, unless it has only one row.
    fair = work.sum() / nblocks
    for load, size in zip(loads, partition.sizes, strict=True):
        assert size == 1 or load <= fair + 2 * work.max()


def test_balanced_moves_the_cut_to_the_work():
    assert Partition.balanced(np.array([9, 1, 1, 1, 1, 1, 1, 1, 1, 1]), 2).bounds == (0, 1, 10)
    assert Partition.balanced(np.ones(9), 3).bounds == (0, 3, 6, 9)


@quick
@given(n_and_blocks(), seeds)
def test_split_sorts_columns_by_owner(case, seed):
    n, nblocks = case
    rng = np.random.default_rng(seed)
    partition = Partition(random_cuts(rng, n, nblocks))
    columns = np.flatnonzero(rng.random(n) < 0.5)
    parts = partition.split(columns)
    assert list(parts) == sorted(parts)
    together = [partition.bounds[p] + part for p, part in parts.items()]
    np.testing.assert_array_equal(np.concatenate([[], *together]), columns)
    for p, part in parts.items():
        assert 0 <= part.min() <= part.max() < partition.sizes[p]


@quick
@given(st.sets(st.integers(0, 40)))
def test_compact_and_hull_choose_the_same_entries(chosen):
    index, values = np.array(sorted(chosen), dtype=np.int64), np.arange(50)
    short = compact(index)
    np.testing.assert_array_equal(values[short], index)
    gapless = index.size == 0 or index[-1] - index[0] + 1 == index.size
    assert isinstance(short, slice) == gapless
    cover = hull(short)
    assert set(index) <= set(values[cover])
    if index.size:
        assert (cover.start, cover.stop) == (index[0], index[-1] + 1)


@st.composite
def cut_matrices(draw):
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(1, 24))
    A = random_dominant(rng, n)
    return A, Partition(random_cuts(rng, n, draw(st.integers(1, min(n, 6)))))


def exchanged(A, partition, dense):
    stored = A if dense else canonical_csr(A)
    rows = [prepare_rows(stored[start:stop], start) for start, stop in partition.ranges]
    return rows, exchanges([row_facts(r, partition).needs for r in rows])


@pytest.mark.parametrize("dense", [False, True])
@quick
@given(cut_matrices(), seeds)
def test_what_blocks_take_is_what_others_give(dense, case, seed):
    A, partition = case
    rows, every = exchanged(A, partition, dense)
    x = np.random.default_rng(seed).standard_normal(partition.n)
    owned = [x[start:stop] for start, stop in partition.ranges]
    for p, exchange in enumerate(every):
        assert exchange.lower == tuple(sorted(q for q in exchange.neighbours if q < p))
        assert exchange.upper == tuple(sorted(q for q in exchange.neighbours if q > p))
        assert set(exchange.gives) == set(exchange.takes) == set(exchange.neighbours)
        local = np.full(rows[p].columns.size, np.nan)
        local[rows[p].own : rows[p].own + rows[p].size] = owned[p]
        for q in exchange.neighbours:
            assert p in every[q].neighbours
            local[exchange.takes[q]] = owned[q][every[q].gives[p]]
        np.testing.assert_array_equal(local, x[rows[p].columns])


@quick
@given(cut_matrices())
def test_blocks_are_neighbours_exactly_when_one_reads_the_other(case):
    A, partition = case
    _, every = exchanged(A, partition, dense=False)
    ranges = partition.ranges
    for p, exchange in enumerate(every):
        reads = {q for q, r in enumerate(ranges) if A[slice(*ranges[p]), slice(*r)].any()}
        read_by = {q for q, r in enumerate(ranges) if A[slice(*r), slice(*ranges[p])].any()}
        assert set(exchange.neighbours) == (reads | read_by) - {p}


def test_one_sided_coupling_makes_neighbours_with_empty_slices():
    A = np.array([[1.0, 0.0], [0.5, 1.0]])
    _, (first, second) = exchanged(A, Partition((0, 1, 2)), dense=False)
    assert first.upper == (1,)
    assert second.lower == (0,)
    assert first.gives == {1: slice(0, 1)}
    assert second.gives == {0: slice(0, 0)}
    assert first.takes == {1: slice(0, 0)}
    assert second.takes == {0: slice(0, 1)}


# Cuts where few entries cross


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6))
def test_crossings_are_the_entries_that_couple_both_sides(n, many, seed):
    rng = np.random.default_rng(seed)
    A = sp.csr_array((np.ones(many), rng.integers(0, n, (2, many))), (n, n))
    rows, columns = A.nonzero()
    for cut, count in enumerate(crossings(A.indptr, A.indices)):
        assert count == np.count_nonzero((rows < cut) != (columns < cut))


@pytest.mark.parametrize("nblocks", [2, 3, 4, 7])
def test_grids_are_cut_between_lines(nblocks):
    A = problems.poisson((120, 31))
    partition = LinearSystem.of(A, np.ones(A.shape[0])).partition(nblocks)
    assert all(cut % 31 == 0 for cut in partition.bounds)
    assert max(partition.sizes) <= 1.3 * min(partition.sizes)
