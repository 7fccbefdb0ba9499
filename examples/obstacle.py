"""A membrane over an obstacle: where do they touch, and how hard does the obstacle push?

The membrane is held at zero on the edge of the square (-1, 1)^2 and loaded with -2, above a smooth
bump: ``-Laplacian(u) >= -2`` and ``u >= bump``, with equality in one of them everywhere. As the
bump is a parabola, it has to push with exactly ``-Laplacian(bump) + 2 = 10`` wherever a point and
its four neighbours lie on it.

    python examples/obstacle.py
    python examples/obstacle.py 500 --picture obstacle.png
"""

import argparse

import numpy as np

import dasksor

LOAD = -2.0
BLUE, RED = (0.30, 0.55, 0.80, 1.0), (0.80, 0.20, 0.20, 1.0)


def bump(side: int) -> np.ndarray:
    x = np.linspace(-1.0, 1.0, side + 2)[1:-1]
    return np.maximum(0.6 - 2.0 * (x**2 + x[:, None] ** 2), -10.0)


def interior(touching: np.ndarray) -> np.ndarray:
    """Points that touch, and whose four neighbours do."""
    inside = touching.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inside &= np.roll(touching, step, axis)
    return inside


def picture(u: np.ndarray, touching: np.ndarray, obstacle: np.ndarray, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x = np.linspace(-1.0, 1.0, len(u) + 2)[1:-1]
    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    space = figure.add_subplot(1, 2, 1, projection="3d")
    every = max(1, len(u) // 200)
    coarse = slice(every // 2, None, every)
    colours = np.where(touching[coarse, coarse, None], RED, BLUE)
    space.plot_surface(
        *np.meshgrid(x[coarse], x[coarse]), u[coarse, coarse], facecolors=colours, rstride=1,
        cstride=1, linewidth=0, antialiased=False,
    )  # fmt: skip
    space.set(xlabel="x", ylabel="y", zlim=(-0.1, 0.6), zticks=[0.0, 0.2, 0.4, 0.6])
    space.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], title="Membrane, red where it is held up")
    space.set_box_aspect((1, 1, 0.5), zoom=1.2)
    space.view_init(elev=25, azim=-60)
    section = figure.add_subplot(1, 2, 2)
    middle = len(u) // 2
    section.fill_between(x, obstacle[middle], -1.0, color="0.85", label="obstacle", linewidth=0)
    section.plot(x, u[middle], color=BLUE, label="membrane")
    held = np.where(touching[middle], u[middle], np.nan)
    section.plot(x, held, color=RED, linewidth=3.0, label="contact")
    section.set(xlim=(-1, 1), ylim=(-0.2, 0.7), xlabel="x", ylabel="u", title="Section at y = 0")
    section.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=90)


def main(side: int = 1000, atol: float = 1e-8, path: str | None = None) -> dasksor.Result:
    h2 = (2.0 / (side + 1)) ** 2
    A = dasksor.problems.poisson((side, side))
    b = np.full(side * side, LOAD * h2)
    obstacle = bump(side)
    bounds = obstacle.ravel(), np.inf
    start = np.maximum(obstacle, 0.0).ravel()
    result = dasksor.solve(A, b, start, bounds=bounds, rtol=0.0, atol=atol)
    u = result.x.reshape(side, side)
    pressure = result.multipliers.reshape(side, side) / h2
    touching = result.active.reshape(side, side) < 0
    print(f"{side} x {side} points")
    print(result)
    w, gap = A @ result.x - b, result.x - bounds[0]
    print(f"audit: natural residual {result.residual(A, b, bounds):.1e}")
    print(f"least gap {gap.min():.1e}, least force {w.min():.1e}, gap' force {abs(gap @ w):.1e}")
    print(f"contact at {touching.sum()} points, {touching.sum() * h2:.4f} of an area of 4")
    inner = pressure[interior(touching)]
    print(f"pressure inside the contact from {inner.min():.6f} to {inner.max():.6f}")
    if path:
        picture(u, touching, obstacle, path)
        print(f"picture in {path}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A membrane over an obstacle.")
    parser.add_argument("side", nargs="?", type=int, default=1000)
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.side, path=words.picture)
