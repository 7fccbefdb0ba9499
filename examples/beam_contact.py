"""A beam that sags onto a rigid floor: where it touches, and with what force.

A beam of length 1, clamped level with height ``gap`` above the floor at both ends, under its own
weight: ``w'''' >= -load`` and ``w >= floor``, with equality in one of them everywhere (bending
stiffness 1). On a flat floor the solution is known: the beam touches it from
``a = (72 gap / load)^(1/4)`` to ``1 - a``, the floor carries the weight in between, and at both
ends of the contact it pushes with a force of ``load a / 3`` at one point. Fourth differences are
ill-conditioned, so that more points soon cost many more iterations.

    python examples/beam_contact.py
    python examples/beam_contact.py 99 --picture beam.png
"""

import argparse

import numpy as np
from scipy.sparse import diags_array

import dasksor

GAP, LOAD = 1.0, 10_000.0


def equations(points: int):
    """``A`` and ``b`` of ``h^4 w'''' = -h^4 load``, and the points."""
    h = 1.0 / (points + 1)
    shape = (points, points)
    A = diags_array([1.0, -4.0, 6.0, -4.0, 1.0], offsets=[-2, -1, 0, 1, 2], shape=shape).tolil()
    # A clamped end has a point beyond it as high as the one before it.
    A[0, 0] = A[-1, -1] = 7.0
    b = np.full(points, -LOAD * h**4)
    return A.tocsr(), b, h * np.arange(1, points + 1)


def floors(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"flat": np.full(x.size, -GAP), "wavy": -GAP + 0.15 * np.cos(6.0 * np.pi * x)}


def picture(x: np.ndarray, shapes: dict, forces: dict, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, 2, figsize=(10, 5.6), layout="constrained", sharex=True, sharey="row"
    )
    for column, (name, floor) in zip(axes.T, floors(x).items(), strict=True):
        beam, push = column
        fine = np.linspace(0.0, 1.0, 301)
        beam.fill_between(fine, floors(fine)[name], -1.4, color="0.8", linewidth=0)
        beam.plot([0.0, *x, 1.0], [0.0, *shapes[name], 0.0], color="tab:blue", linewidth=2.0)
        touching = forces[name] > 0.0
        beam.plot(x[touching], floor[touching], "o", color="tab:red", markersize=4)
        beam.set_title(f"A {name} floor, and where the beam touches it")
        push.vlines(x[touching], 0.0, forces[name][touching], color="tab:red")
        push.set(xlim=(0, 1), xlabel="x")
    axes[0, 0].set(ylim=(-1.3, 0.1), ylabel="height")
    axes[1, 0].set(ylim=(0, None), ylabel="force at each point")
    figure.savefig(path, dpi=90)


def main(points: int = 199, rtol: float = 1e-8, path: str | None = None) -> dict:
    A, b, x = equations(points)
    h = x[0]
    shapes, forces = {}, {}
    print(f"{points} points, load {LOAD:g}")
    for name, floor in floors(x).items():
        bounds = floor, np.inf
        result = dasksor.solve(A, b, bounds=bounds, rtol=rtol, raise_on_failure=True)
        shapes[name], forces[name] = result.x, result.multipliers / h**3
        w, gap = A @ result.x - b, result.x - floor
        natural = result.residual(A, b, bounds) / np.linalg.norm(b)
        print(f"{name} floor", result, sep="\n")
        print(f"audit: natural residual / |b| {natural:.1e}, least gap {gap.min():.1e}")
        print(f"least force {w.min() / h**3:.1e}, gap' force {abs(gap @ w) / h**3:.1e}")
        total, touching = forces[name].sum(), x[result.active < 0]
        print(f"touches {touching.size} points from {touching[0]:.3f} to {touching[-1]:.3f}")
        print(f"the floor carries {total:.1f}")
        if name == "flat":
            a = (72.0 * GAP / LOAD) ** 0.25
            carried = LOAD * a / 3.0 + LOAD * (touching[2] + h / 2.0 - a)
            print(f"its first three points carry {forces[name][result.active < 0][:3].sum():.1f}")
            print(
                f"exact: from {a:.3f} to {1 - a:.3f}; {LOAD * (1 - 4 * a / 3):.1f}, {carried:.1f}"
            )
    if path:
        picture(x, shapes, forces, path)
        print(f"picture in {path}")
    return forces


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A beam on a rigid floor.")
    parser.add_argument("points", nargs="?", type=int, default=199)
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.points, path=words.picture)
