"""NumPy, scipy and Dask matrices, alone and on a cluster of two worker processes.

python examples/quickstart.py
"""

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import dasksor


def main() -> None:
    # A scipy sparse matrix, without a cluster: mode "auto" finds that it would not pay.
    A = dasksor.problems.poisson((100, 100))
    b = np.ones(A.shape[0])
    result = dasksor.solve(A, b, rtol=1e-8)
    print("2-D Poisson, scipy sparse", result, sep="\n")
    print(f"audit: {result.residual(A, b):.3e}\n")

    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        # A NumPy matrix: rows travel to the workers once, slices of x between them.
        A = dasksor.problems.dense_spd(2000)
        b, x_star = dasksor.problems.seed_rhs(A)
        for options in ({"mode": "sync"}, {"mode": "async"}):
            result = dasksor.solve(A, b, rtol=1e-8, **options)
            print("dense, NumPy", result, sep="\n")
            print(f"largest error: {np.max(np.abs(result.x - x_star)):.3e}\n")

        # A Dask array is put together on the workers; b is one, so x is one and stays there.
        A = da.random.random((2000, 2000), chunks=(500, 700)) + 2000.0 * da.eye(2000, chunks=500)
        b = A.sum(axis=1)
        result = dasksor.solve(A, b, rtol=1e-8)
        print("dense, Dask array", result, sep="\n")
        print(f"x: {result.x}")
        print(f"largest error: {abs(result.x - 1.0).max().compute():.3e}")


if __name__ == "__main__":
    main()
