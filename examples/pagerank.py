"""PageRank of a random graph by totally asynchronous relaxation: no block ever waits.

python examples/pagerank.py            # 200,000 nodes
"""

import sys

import numpy as np

import dasksor


def main(nodes: int = 200_000) -> None:
    graph = dasksor.problems.random_graph(nodes)
    A, b = dasksor.problems.pagerank(graph, damping=0.85)
    print(f"{nodes} nodes, {graph.nnz} links")
    # rho(|I - D^-1 A|) <= 0.85 by columns: every schedule converges for omega = 1.
    result = dasksor.solve(A, b, mode="async", staleness=None, omega=1.0, rtol=1e-10)
    print(result)
    print(f"audit: |b - A x| / |b| = {result.residual(A, b) / np.linalg.norm(b):.3e}")

    rank = result.x / result.x.sum()
    links_in = np.bincount(graph.indices, minlength=nodes)
    print("node, rank, links to it")
    for node in np.argsort(rank)[: -10 - 1 : -1]:
        print(f"{node:8d}  {rank[node]:.3e}  {links_in[node]:6d}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
