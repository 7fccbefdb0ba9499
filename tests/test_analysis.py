"""Whether a matrix could be symmetric positive definite, as its blocks see it."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_cuts, random_spd, seeds, shared_matrix

from dasksor import problems
from dasksor.analysis import could_be_positive_definite, row_facts, suits_gradients
from dasksor.partition import Partition
from dasksor.rows import prepare_rows
from dasksor.system import as_matrix

few = settings(deadline=None, max_examples=100)
storages = pytest.mark.parametrize("stored", [sp.csr_array, np.asarray], ids=["csr", "dense"])
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def facts_of(A, cuts):
    A, partition = as_matrix(A), Partition(cuts)
    return [row_facts(prepare_rows(A[i:j], i), partition) for i, j in partition.ranges]


def suits(A, cuts=None):
    """What the blocks find; the pass over all of ``A`` at once finds the same."""
    found = could_be_positive_definite(facts_of(A, cuts or (0, A.shape[0])))
    assert suits_gradients(as_matrix(A)) == found
    return found


def a_symmetric_one(seed, n, dtype):
    rng = np.random.default_rng(seed)
    cuts = random_cuts(rng, n, int(rng.integers(1, min(n, 6) + 1)))
    A = random_spd(rng, n).astype(dtype)
    return rng, np.tril(A) + np.tril(A, -1).T, cuts


@storages
@dtypes
@few
@given(seeds, st.integers(1, 60))
def test_symmetric_matrices_pass_whatever_the_blocks(stored, dtype, seed, n):
    _, A, cuts = a_symmetric_one(seed, n, dtype)
    assert suits(stored(A))
    assert suits(stored(A), cuts)
    assert suits(stored(1e-30 * A), cuts)


@storages
@dtypes
@few
@given(seeds, st.integers(2, 60))
def test_one_changed_entry_is_seen_whatever_the_blocks(stored, dtype, seed, n):
    rng, A, cuts = a_symmetric_one(seed, n, dtype)
    i, j = rng.choice(n, 2, replace=False)
    A[i, j] = A[j, i] = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 1.0) * A.max()
    assert suits(stored(A), cuts)
    A[i, j] *= 1.001
    assert not suits(stored(A))
    assert not suits(stored(A), cuts)


@storages
@few
@given(seeds, st.integers(2, 40))
def test_an_entry_without_its_mirror_image_is_seen(stored, seed, n):
    rng, A, cuts = a_symmetric_one(seed, n, np.float64)
    i, j = rng.choice(n, 2, replace=False)
    A[i, j], A[j, i] = A.max(), 0.0
    assert not suits(stored(A), cuts)


@storages
@few
@given(seeds, st.integers(1, 40))
def test_a_negative_diagonal_entry_is_seen(stored, seed, n):
    rng, A, cuts = a_symmetric_one(seed, n, np.float64)
    i = rng.integers(n)
    A[i, i] *= -1.0
    assert not suits(stored(A), cuts)


@storages
@few
@given(seeds, st.integers(2, 40))
def test_the_sums_do_not_depend_on_the_blocks(stored, seed, n):
    rng, A, cuts = a_symmetric_one(seed, n, np.float64)
    A = stored(np.where(rng.random((n, n)) < 0.9, A, 0.5 * A))
    whole, parts = facts_of(A, (0, n)), facts_of(A, cuts)
    weight = whole[0].weight
    assert sum(f.weight for f in parts) == pytest.approx(weight)
    asymmetry = sum(f.asymmetry for f in parts)
    assert asymmetry == pytest.approx(whole[0].asymmetry, abs=1e-13 * weight)
    dense = A.toarray() if sp.issparse(A) else A
    u, v = np.sin(1.7 * np.arange(n) + 0.3), np.cos(0.9 * np.arange(n))
    assert asymmetry == pytest.approx(u @ dense @ v - v @ dense @ u, abs=1e-13 * weight)


@pytest.mark.parametrize(
    ("A", "expected"),
    [
        (problems.poisson((40, 50)), True),
        (problems.poisson((11, 12, 13), points=27), True),
        (problems.anisotropic((30, 31)), True),
        (problems.dense_spd(150), True),
        (problems.graph_laplacian(problems.random_graph(2000), shift=1e-6), True),
        (problems.convection_diffusion((30, 31)), False),
        (problems.pagerank(problems.random_graph(2000))[0], False),
    ],
    ids=["5-point", "27-point", "anisotropic", "dense", "graph", "upwind", "pagerank"],
)
def test_the_problems_of_the_package(A, expected):
    n = A.shape[0]
    assert suits(A, (0, n // 3, n // 2, n)) is expected


def test_a_stiffness_matrix_from_engineering():
    A = shared_matrix("bcsstk16.mtx.gz")
    assert suits(A, (0, 1000, A.shape[0]))
