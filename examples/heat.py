"""The heat equation by implicit steps: one matrix made ready, each step begun near its end.

Backward Euler for ``u_t = u_xx + u_yy + f`` on the unit square, zero on its boundary, with a heat
source that walks in a circle: ``(h^2 / dt + L) u_k+1 = h^2 / dt u_k + h^2 f``. Three starts are
compared: zero, the step before, and the line through the two steps before. What a start saves
depends on how short the steps are and how few digits are asked for.

    python examples/heat.py
    python examples/heat.py 300 --steps 100 --picture heat.png
"""

import argparse
import time

import numpy as np
from scipy.sparse import eye_array

import dasksor


def source(side: int, t: float) -> np.ndarray:
    x = np.arange(1, side + 1) / (side + 1)
    x0, y0 = 0.5 + 0.3 * np.cos(2 * np.pi * t), 0.5 + 0.3 * np.sin(2 * np.pi * t)
    return 500.0 * np.exp(-((x - x0) ** 2 + (x[:, None] - y0) ** 2) / 0.05**2).ravel()


def march(ready, side: int, steps: int, dt: float, start: str, rtol: float):
    """All steps; iterations of each, the temperatures, seconds, and the worst residual measured."""
    h2 = 1.0 / (side + 1) ** 2
    states, iterations, worst = [np.zeros(side * side)], [], 0.0
    began = time.perf_counter()
    for k in range(steps):
        b = h2 / dt * states[-1] + h2 * source(side, (k + 1) * dt)
        x0 = None
        if start == "step before":
            x0 = states[-1]
        elif start == "line through two":
            x0 = 2.0 * states[-1] - states[-2] if k else states[-1]
        result = ready.solve(b, x0=x0, rtol=rtol, raise_on_failure=True)
        worst = max(worst, result.residual(ready.matrix, b) / np.linalg.norm(b))
        states.append(result.x)
        iterations.append(result.sweeps)
    return iterations, states, time.perf_counter() - began, worst


def picture(states: list, side: int, dt: float, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", sharey=True)
    top = max(state.max() for state in states)
    for ax, k in zip(axes, np.linspace(0, len(states) - 1, 5).astype(int)[1:], strict=True):
        drawn = ax.imshow(
            states[k].reshape(side, side), origin="lower", extent=(0, 1, 0, 1), cmap="inferno",
            vmin=0.0, vmax=top,
        )  # fmt: skip
        ax.set_title(f"t = {k * dt:.2f}")
        ax.set_xlabel("x")
    axes[0].set_ylabel("y")
    figure.colorbar(drawn, ax=axes, label="temperature", pad=0.01)
    figure.savefig(path, dpi=110)


def main(side: int = 200, steps: int = 200, rtol: float = 1e-5, path: str | None = None) -> dict:
    dt = 1.0 / steps
    A = dasksor.problems.poisson((side, side)) + eye_array(side * side) / (dt * (side + 1) ** 2)
    ready = dasksor.prepare(A, mode="threads")
    ready.solve(np.ones(side * side), rtol=rtol)  # what is done once is done here
    print(f"{side} x {side} points, {steps} steps of {dt:g} to {rtol:g}")
    taken = {}
    for start in ("zero", "step before", "line through two"):
        iterations, states, seconds, worst = march(ready, side, steps, dt, start, rtol)
        taken[start] = sum(iterations)
        print(
            f"start {start:17s} {sum(iterations):5d} iterations, {seconds:6.2f} s, "
            f"worst |b - A x| / |b| {worst:.1e}"
        )
    if path:
        picture(states, side, dt, path)
        print(f"picture in {path}")
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The heat equation by implicit steps.")
    parser.add_argument("side", nargs="?", type=int, default=200)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.side, words.steps, path=words.picture)
