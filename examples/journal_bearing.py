"""The oil in a journal bearing: its pressure tears the film where it would become negative.

Reynolds' equation for a film of thickness ``H = 1 + e cos(theta)``, in units in which the pressure
is ``6 mu omega (R / c)^2 p``: ``-(H^3 p_theta)_theta - (H^3 p_z)_z = e sin(theta)`` for
``0 < theta < 2 pi``, ``|z| < L / D``, zero on the boundary. Oil cannot pull, so ``p >= 0`` with
equality in one of the two: Christopherson's method, analysed by Cryer (Math. Comp. 25, 1971).

For an endless bearing the film tears at the angle where an integral vanishes, which is the check.
The load gives Sommerfeld's number ``(R / c)^2 mu N / P`` and the angle between load and least film.

    python examples/journal_bearing.py
    python examples/journal_bearing.py 400 --eccentricity 0.6 --picture bearing.png
"""

import argparse

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.sparse import diags_array, eye_array, kron

import dasksor


def film(theta: np.ndarray, e: float) -> np.ndarray:
    return 1.0 + e * np.cos(theta)


def second_difference(weights: np.ndarray):
    """``-(w p')'`` times the squared mesh width, from the weights between the points."""
    between = -weights[1:-1]
    return diags_array([between, weights[:-1] + weights[1:], between], offsets=[-1, 0, 1])


def equations(around: int, along: int, e: float, ratio: float):
    """``A``, ``b`` and the angles; ``along`` 0 is a bearing without ends."""
    h = 2.0 * np.pi / (around + 1)
    theta = h * np.arange(1, around + 1)
    A = second_difference(film(h * (np.arange(around + 1) + 0.5), e) ** 3)
    b = h**2 * e * np.sin(theta)
    if along:
        k = 2.0 * ratio / (along + 1)
        H3 = diags_array(film(theta, e) ** 3)
        across = dasksor.problems.poisson((along,))
        A = kron(eye_array(along), A) + (h / k) ** 2 * kron(across, H3)
        b = np.tile(b, along)
    return A.tocsr(), b, theta


def rupture(e: float) -> float:
    """Where the film of an endless bearing tears, with neither pressure nor slope."""

    def pressure(end: float) -> float:
        return quad(lambda t: (np.cos(t) - np.cos(end)) / film(t, e) ** 3, 0.0, end)[0]

    return float(brentq(pressure, np.pi, 2.0 * np.pi - 1e-6))


def picture(p: np.ndarray, theta: np.ndarray, ratio: float, e: float, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    along = len(p)
    degrees = np.rad2deg(theta)
    z = np.linspace(-ratio, ratio, along + 2)[1:-1]
    figure, (plan, section) = plt.subplots(
        2, 1, figsize=(8, 5.6), layout="constrained", sharex=True, height_ratios=(1.3, 1)
    )
    plan.set_facecolor("0.75")
    drawn = plan.pcolormesh(
        degrees, z, np.where(p > 0.0, p, np.nan), cmap="YlOrRd", vmin=0.0, rasterized=True
    )
    plan.contour(degrees, z, p, 9, colors="k", linewidths=0.4)
    plan.set(ylabel="z / R", title="Pressure of the oil; grey: the film is torn")
    figure.colorbar(drawn, ax=plan, label="p", pad=0.01)
    section.plot(degrees, p[along // 2], color="tab:red", label="pressure in the middle")
    section.set(xlim=(0, 360), ylim=(0, None), xticks=range(0, 361, 60), ylabel="p")
    section.set_xlabel("angle from the widest film, degrees")
    thickness = section.twinx()
    thickness.plot(degrees, film(theta, e), color="0.4", linestyle="--", label="film")
    thickness.set(ylim=(0, 2), ylabel="thickness of the film / c")
    lines = section.lines + thickness.lines
    section.legend(lines, [line.get_label() for line in lines], frameon=False, loc="lower right")
    figure.savefig(path, dpi=90)


def main(
    around: int = 600, e: float = 0.8, ratio: float = 1.0, rtol: float = 1e-8,
    path: str | None = None,
) -> dasksor.Result:  # fmt: skip
    along = max(1, int(around * ratio / np.pi))
    bounds = 0.0, np.inf
    A, b, theta = equations(4 * around, 0, e, ratio)
    endless = dasksor.solve(A, b, bounds=bounds, rtol=rtol, raise_on_failure=True)
    torn = theta[endless.x > 0.0][-1]
    print(f"eccentricity {e:g}, {around} x {along} points")
    print(
        f"without ends the film tears at {np.rad2deg(torn):.2f} degrees, "
        f"by an integral at {np.rad2deg(rupture(e)):.2f}"
    )
    A, b, theta = equations(around, along, e, ratio)
    result = dasksor.solve(A, b, bounds=bounds, rtol=rtol)
    print(result)
    p, w = result.x, A @ result.x - b
    print(f"audit: natural residual / |b| {result.residual(A, b, bounds) / np.linalg.norm(b):.1e}")
    print(f"least pressure {p.min():.1e}, least inflow {w.min():.1e}, p' inflow {abs(p @ w):.1e}")
    field = p.reshape(along, around)
    force = 2.0 * np.pi / (around + 1) / (along + 1) * np.sum(field @ np.exp(1j * theta))
    load, angle = abs(force), np.rad2deg(abs(np.angle(-force)))
    print(f"L/D = {ratio:g}: Sommerfeld number {1 / (6 * np.pi * load):.4f}, angle {angle:.2f}")
    if path:
        picture(field, theta, ratio, e, path)
        print(f"picture in {path}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The oil film of a journal bearing.")
    parser.add_argument("around", nargs="?", type=int, default=600, help="points around the shaft")
    parser.add_argument("--eccentricity", type=float, default=0.8)
    parser.add_argument("--ratio", type=float, default=1.0, help="length by diameter")
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.around, words.eccentricity, words.ratio, path=words.picture)
