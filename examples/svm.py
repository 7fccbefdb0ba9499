"""A linear support vector machine on a Dask array, by successive over-relaxation.

    python examples/svm.py [POINTS] [--workers N] [--compare]

Mangasarian and Musicant (IEEE Transactions on Neural Networks 10(5), 1999): with labels y_i = +-1,
rows H_i = y_i (a_i, -1), and w = (normal, offset) of the separating plane,

    minimise  |w|^2 / 2 + nu sum_i (1 - H_i w)_+,

whose dual in u, 0 <= u_i <= nu, is swept by row actions; w = H'u is all that rows share. Workers
generate their own points and keep them: this process holds no point, only w and one multiplier of
each. Several blocks sweep at the same time, and the step along the sum of what they changed is that
which lowers the dual most. ``--compare`` has scikit-learn's LinearSVC solve the same problem, in
this process, with all points.
"""

import argparse
import time

import dask.array as da
import numpy as np
import scipy.sparse as sp
from distributed import Client, LocalCluster

from dasksor.rowaction.blocks import Blocks
from dasksor.rowaction.dual import Dual
from dasksor.rowaction.rows import ActionRows, Terms

FEATURES, NU = 20, 1e-3


def points(block_info=None):
    """One chunk: two clouds that overlap, and their labels in the last column."""
    (first, last), _ = block_info[None]["array-location"]
    rng = np.random.default_rng([first, last])
    labels = rng.choice([-1.0, 1.0], last - first)
    cloud = rng.standard_normal((last - first, FEATURES))
    cloud += 0.4 * labels[:, None] * np.linspace(0.0, 1.0, FEATURES)
    return np.column_stack([cloud, labels])


def rows_of(chunk):
    """``H_i = y_i (a_i, -1)``."""
    plain = np.column_stack([chunk[:, :-1], -np.ones(len(chunk))])
    return ActionRows.of(sp.csr_array(chunk[:, -1:] * plain))


def losses(rows, w):
    """Of one chunk: the sum of the losses, and how many points are on the wrong side."""
    margins = rows.times(w)
    return np.maximum(1.0 - margins, 0.0).sum(), np.count_nonzero(margins <= 0.0)


def trained(client, chunks, sizes, gap, most):
    """``w``; prints how it comes."""
    box = np.array([[-np.inf], [np.inf]]) * np.ones(FEATURES + 1)
    terms = Terms(1.0, 0.0, np.ones(1), np.array([[0.0], [NU]]), box)
    dual = Dual(
        Blocks(None, chunks, sizes, client), terms, np.zeros(FEATURES + 1), np.zeros(sum(sizes))
    )
    begin = time.perf_counter()
    for sweep in range(1, most + 1):
        dual.sweep(omega=1.0)
        if sweep % 5:
            continue
        dual.renew()
        w = dual.x
        found = client.gather([client.submit(losses, chunk, w, pure=False) for chunk in chunks])
        loss, wrong = np.sum(found, axis=0)
        primal, value = 0.5 * w @ w + NU * loss, dual.u.sum() - 0.5 * w @ w
        relative = (primal - value) / primal
        print(
            f"{sweep:>4} sweeps, {time.perf_counter() - begin:6.1f} s: objective {primal:.9g}, "
            f"relative duality gap {relative:.1e}, accuracy {1 - wrong / sum(sizes):.5f}",
            flush=True,
        )
        if relative <= gap:
            break
    return w


def compare(array, w):
    """The same by scikit-learn, whose penalty leaves nothing out, as ours."""
    from sklearn.svm import LinearSVC

    data = array.compute()
    X, y = data[:, :-1], data[:, -1]
    begin = time.perf_counter()
    # Its intercept is penalised like the normal: with intercept_scaling 1 the problem is ours.
    svc = LinearSVC(C=NU, loss="hinge", dual=True, tol=1e-4, max_iter=10_000).fit(X, y)
    seconds = time.perf_counter() - begin
    theirs = np.append(svc.coef_, -svc.intercept_)
    rows = rows_of(data)
    loss, wrong = losses(rows, theirs)
    print(
        f"LinearSVC {seconds:.1f} s: objective {0.5 * theirs @ theirs + NU * loss:.9g}, "
        f"accuracy {1 - wrong / len(y):.5f}; the planes differ by "
        f"{np.linalg.norm(theirs - w) / np.linalg.norm(w):.1e} of their norm"
    )


def main():
    options = argparse.ArgumentParser()
    options.add_argument("points", nargs="?", type=int, default=100_000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--gap", type=float, default=1e-4)
    options.add_argument("--sweeps", type=int, default=300)
    options.add_argument("--compare", action="store_true")
    given = options.parse_args()
    shape = (given.points, FEATURES + 1)
    chunks = da.core.normalize_chunks((-(-given.points // given.workers), FEATURES + 1), shape)
    with (
        LocalCluster(n_workers=given.workers, threads_per_worker=1) as cluster,
        Client(cluster) as client,
    ):
        array = da.map_blocks(points, chunks=chunks, dtype=float)
        parts = [client.compute(part) for part in array.to_delayed().ravel()]
        rows = [client.submit(rows_of, part) for part in parts]
        del parts
        w = trained(client, rows, list(chunks[0]), given.gap, given.sweeps)
        if given.compare:
            compare(array, w)


if __name__ == "__main__":
    main()
