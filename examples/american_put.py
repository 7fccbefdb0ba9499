"""An American put by implicit steps: each is a linear complementarity problem, begun near its end.

The holder may exercise at any time, so the value ``V`` is nowhere below the payoff
``max(K - S, 0)``, and follows Black and Scholes' equation where it is above. In ``x = log(S / K)``
and the time to expiry ``t``: ``V_t = s^2/2 V_xx + (r - s^2/2) V_x - r V``. Crank and Nicolson's
steps, the first two in halves and implicit Euler (Rannacher 1984) since the payoff has a kink. The
prices are compared with those of a binomial tree (Cox, Ross and Rubinstein 1979).

    python examples/american_put.py
    python examples/american_put.py 1000 --steps 500 --picture put.png
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import diags_array, eye_array

import dasksor

SPOTS = (34.0, 36.0, 38.0, 40.0, 42.0, 44.0)


@dataclass(frozen=True)
class Put:
    strike: float = 40.0
    rate: float = 0.06
    volatility: float = 0.2
    expiry: float = 1.0

    def payoff(self, spot: np.ndarray) -> np.ndarray:
        return np.maximum(self.strike - spot, 0.0)


def tree(put: Put, spot: float, steps: int) -> float:
    """The price by a binomial tree."""
    dt = put.expiry / steps
    up = np.exp(put.volatility * np.sqrt(dt))
    p = (np.exp(put.rate * dt) - 1.0 / up) / (up - 1.0 / up)
    payoff = put.payoff(spot * up ** np.arange(-steps, steps + 1.0))
    value = payoff[::2]
    discount = np.exp(-put.rate * dt)
    for k in range(steps - 1, -1, -1):
        held = discount * (p * value[1:] + (1.0 - p) * value[:-1])
        value = np.maximum(held, payoff[steps - k : steps + k + 1 : 2])
    return float(value[0])


class Grid:
    """Central differences in ``x``, for steps of ``dt`` whose implicit part is ``theta``."""

    def __init__(self, put: Put, points: int):
        width = 5.0 * put.volatility * np.sqrt(put.expiry)
        self.x, h = np.linspace(-width, width, points + 2, retstep=True)
        self.spot = put.strike * np.exp(self.x[1:-1])
        self.payoff = put.payoff(self.spot)
        spread = 0.5 * (put.volatility / h) ** 2
        drift = 0.5 * (put.rate - 0.5 * put.volatility**2) / h
        shape = (points, points)
        down, up = drift - spread, -drift - spread
        self.L = diags_array([down, 2.0 * spread + put.rate, up], offsets=[-1, 0, 1], shape=shape)
        # At the lower end the option is exercised, at the upper one it is worth nothing.
        self.inflow = np.zeros(points)
        self.inflow[0] = -down * put.payoff(put.strike * np.exp(-width))

    def step(self, theta: float, dt: float):
        """The matrix made ready, and the right-hand side as a function of the value before."""
        one = eye_array(self.spot.size)
        A, B = one + theta * dt * self.L, one - (1.0 - theta) * dt * self.L
        # Young's factor, exact for a tridiagonal matrix.
        mu = 2.0 * np.sqrt(A.diagonal(-1)[0] * A.diagonal(1)[0]) / A.diagonal()[0]
        omega = 2.0 / (1.0 + np.sqrt(1.0 - mu**2))
        ready = dasksor.prepare(A.tocsr(), omega=omega, accelerate=None)
        return ready, lambda value: B @ value + dt * self.inflow


def march(grid: Grid, plan: list, start: str, rtol: float):
    """All steps: the values, sweeps, times, where it pays to exercise, and the worst residual."""
    values, times, sweeps, worst = [grid.payoff], [0.0], 0, 0.0
    boundary = [grid.spot[grid.payoff > 0.0][-1]]
    bounds = grid.payoff, np.inf
    for ready, rhs, dt in plan:
        b = rhs(values[-1])
        x0 = grid.payoff
        if start == "step before":
            x0 = values[-1]
        elif start == "line through two" and len(times) > 2:
            slope = (values[-1] - values[-2]) / (times[-1] - times[-2])
            x0 = values[-1] + dt * slope
        result = ready.solve(b, x0, bounds=bounds, rtol=rtol, raise_on_failure=True)
        residual = result.residual(ready.matrix, b, bounds)
        worst = max(worst, residual / np.linalg.norm(b))
        sweeps += result.sweeps
        values.append(result.x)
        times.append(times[-1] + dt)
        boundary.append(grid.spot[(result.active < 0) & (grid.payoff > 0.0)][-1])
    return values, times, boundary, sweeps, worst


def picture(put: Put, grid: Grid, values: list, times: list, boundary: list, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    left.plot(grid.spot, grid.payoff, color="0.4", linestyle="--", label="0 (payoff)")
    for t, colour in zip((0.1, 0.3, 1.0), plt.get_cmap("viridis")((0.75, 0.5, 0.15)), strict=True):
        k = int(np.argmin(np.abs(np.array(times) - t * put.expiry)))
        left.plot(grid.spot, values[k], color=colour, label=f"{times[k]:.2g}")
        value = put.payoff(np.float64(boundary[k]))
        left.plot(boundary[k], value, "o", color=colour, markersize=5)
    left.set(
        xlim=(30, 50),
        xticks=range(30, 51, 4),
        ylim=(0, 10),
        xlabel="price of the share",
        ylabel="value of the put",
    )
    left.set_title("Value; dots: exercise to the left of them")
    left.legend(frameon=False, title="years to expiry")
    perpetual = put.strike / (1.0 + put.volatility**2 / (2.0 * put.rate))
    right.fill_between(times, boundary, 28.0, color="tab:red", alpha=0.15, linewidth=0)
    right.plot(times, boundary, color="tab:red")
    right.axhline(perpetual, color="0.4", linestyle="--", linewidth=1.0)
    right.text(0.99, perpetual + 0.2, "boundary of a put without expiry", ha="right", color="0.3")
    right.text(0.5, 32.0, "exercise", ha="center", fontsize=12)
    right.text(0.5, 38.5, "hold", ha="center", fontsize=12)
    right.set(xlim=(0, put.expiry), ylim=(28, 42), title="Early exercise boundary")
    right.set(xlabel="years to expiry", ylabel="price of the share")
    figure.savefig(path, dpi=90)


def main(
    points: int = 2000,
    steps: int = 1000,
    tree_steps: int = 10_000,
    rtol: float = 1e-10,
    path: str | None = None,
) -> float:
    put = Put()
    grid = Grid(put, points)
    dt = put.expiry / steps
    euler, crank = grid.step(1.0, dt / 2.0), grid.step(0.5, dt)
    plan = [(*euler, dt / 2.0)] * 4 + [(*crank, dt)] * (steps - 2)
    march(grid, plan[:1], "payoff", rtol)  # what is done once is done here
    print(f"{points} points, {len(plan)} steps to {rtol:g}")
    for start in ("payoff", "step before", "line through two"):
        began = time.perf_counter()
        values, times, boundary, sweeps, worst = march(grid, plan, start, rtol)
        seconds = time.perf_counter() - began
        print(
            f"start {start:17s} {sweeps:7d} sweeps, {seconds:6.2f} s, "
            f"worst natural residual / |b| {worst:.1e}"
        )
    print("spot    put    tree   difference")
    prices = np.interp(np.log(np.array(SPOTS) / put.strike), grid.x[1:-1], values[-1])
    differences = []
    for spot, price in zip(SPOTS, prices, strict=True):
        # Trees of an even and of an odd number of steps err to either side.
        peer = 0.5 * (tree(put, spot, tree_steps) + tree(put, spot, tree_steps + 1))
        differences.append(abs(price - peer))
        print(f"{spot:4.0f}  {price:.4f}  {peer:.4f}  {differences[-1]:.1e}")
    print(f"with {put.expiry:g} year to go it pays to exercise below {boundary[-1]:.2f}")
    if path:
        picture(put, grid, values, times, boundary, path)
        print(f"picture in {path}")
    return max(differences)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An American put by projected SOR.")
    parser.add_argument("points", nargs="?", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tree", type=int, default=10_000, help="steps of the binomial tree")
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.points, words.steps, words.tree, path=words.picture)
