"""The streamfunction of an ocean from its vorticity, on a latitude-longitude grid with coasts.

Oceanographers and meteorologists invert ``Laplacian(psi) = zeta`` slice by slice, commonly by SOR
(the package xinvert). Here one large slice is solved on all cores of this process. The continents
are a few polygons, the vorticity is a sum of waves, and ``psi`` is zero on every coast.

    pip install '.[examples]'
    python examples/ocean.py                             # 1 degree
    python examples/ocean.py 4 --picture ocean.png       # 1/4 degree
"""

import argparse
import time

import numpy as np
import xarray as xr

import dasksor

RADIUS = 6.3712e6  # m

# Outlines in degrees (longitude, latitude), coarse on purpose.
CONTINENTS = {
    "the Americas": [
        (-168, 66), (-158, 58), (-152, 59), (-135, 58), (-124, 48), (-124, 40), (-115, 30),
        (-105, 20), (-95, 15), (-84, 9), (-78, 7), (-81, -4), (-76, -14), (-70, -18), (-73, -37),
        (-75, -50), (-68, -55), (-65, -48), (-62, -40), (-57, -37), (-48, -27), (-40, -22),
        (-35, -8), (-50, 0), (-60, 9), (-72, 12), (-82, 10), (-87, 16), (-87, 21), (-97, 19),
        (-97, 27), (-90, 30), (-83, 29), (-80, 25), (-81, 31), (-75, 36), (-70, 42), (-60, 46),
        (-66, 50), (-56, 53), (-64, 60), (-78, 62), (-80, 52), (-94, 60), (-82, 68), (-80, 85),
        (-120, 85), (-125, 70), (-156, 71),
    ],
    "Greenland": [
        (-45, 60), (-52, 65), (-55, 70), (-72, 78), (-60, 85), (-20, 85), (-18, 76), (-25, 70),
        (-40, 65),
    ],
    "Africa and Eurasia": [
        (-9, 43), (-9, 37), (-6, 35), (-17, 21), (-17, 14), (-8, 4), (9, 4), (9, -1), (14, -11),
        (12, -17), (18, -34), (27, -34), (35, -23), (40, -15), (39, -6), (51, 12), (43, 12),
        (57, 18), (60, 24), (67, 25), (73, 19), (77, 8), (80, 15), (88, 22), (94, 17), (98, 8),
        (103, 1), (105, 9), (109, 12), (106, 20), (118, 24), (122, 31), (118, 38), (126, 36),
        (130, 43), (140, 52), (155, 60), (157, 51), (163, 58), (179, 64), (179, 69), (140, 73),
        (105, 78), (70, 73), (40, 67), (26, 71), (5, 61), (8, 57), (2, 50), (-5, 48), (-1, 44),
    ],
    "Australia": [
        (114, -22), (115, -34), (124, -33), (131, -31), (138, -35), (146, -39), (153, -30),
        (146, -19), (142, -11), (139, -17), (136, -12), (130, -12), (122, -18),
    ],
    "Antarctica": [
        (-180, -78), (-150, -77), (-100, -73), (-75, -73), (-57, -63), (-62, -73), (-40, -78),
        (-15, -72), (30, -69), (60, -67), (120, -66), (160, -69), (170, -78), (180, -78),
        (180, -90), (-180, -90),
    ],
    "Madagascar": [(44, -25), (44, -17), (49, -12), (50, -16), (47, -25)],
    "New Zealand": [(167, -46), (173, -35), (178, -38), (171, -46)],
    "Indonesia": [
        (95, 5), (103, 0), (115, -8), (125, -9), (134, -4), (147, -10), (150, -6), (131, 0),
        (118, 7), (109, 2), (105, -5),
    ],
    "Japan": [(130, 31), (136, 36), (141, 45), (145, 43), (140, 35)],
    "Great Britain": [(-10, 52), (-6, 58), (-2, 57), (1, 52), (-5, 50)],
}  # fmt: skip


def inside(outline: list, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Where a ray to the east crosses the outline an odd number of times."""
    odd = np.zeros((lat.size, lon.size), dtype=bool)
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True):
        if y0 != y1:
            cut = x0 + (lat - y0) * (x1 - x0) / (y1 - y0)
            odd ^= ((y0 > lat) != (y1 > lat))[:, None] & (lon < cut[:, None])
    return odd


def vorticity(points: int, waves: int = 60, seed: int = 7) -> xr.DataArray:
    """Relative vorticity in 1/s at `points` a degree, not a number on land.

    Waves in space, cut by the sphere, look the same everywhere on it; long ones make gyres, short
    ones eddies.
    """
    lon = -180.0 + (np.arange(360 * points) + 0.5) / points
    lat = -80.0 + (np.arange(164 * points) + 0.5) / points
    land = np.zeros((lat.size, lon.size), dtype=bool)
    for outline in CONTINENTS.values():
        land |= inside(outline, lon, lat)
    phi, theta = np.deg2rad(lon), np.deg2rad(lat)
    zeta = 1e-7 * np.broadcast_to(np.sin(4.0 * theta)[:, None], land.shape)
    rng = np.random.default_rng(seed)
    for number in 25.0 * 1.03 ** np.arange(waves):
        k = rng.normal(size=3)
        k *= number / np.linalg.norm(k)
        flat = np.cos(theta)[:, None] * (k[0] * np.cos(phi) + k[1] * np.sin(phi))
        zeta = zeta + 1e-6 * np.cos(
            flat + k[2] * np.sin(theta)[:, None] + rng.uniform(0, 2 * np.pi)
        )
    zeta[land] = np.nan
    return xr.DataArray(zeta, {"lat": lat, "lon": lon}, ("lat", "lon"), name="vorticity")


def equations(zeta: xr.DataArray) -> tuple:
    """``A`` and ``b`` of ``Laplacian(psi) = zeta`` at sea, with ``psi = 0`` on land."""
    wet = zeta.notnull().values
    A = dasksor.problems.sphere(zeta.lat, wet)
    dlon = np.deg2rad(float(zeta.lon[1] - zeta.lon[0]))
    b = -zeta * np.cos(np.deg2rad(zeta.lat)) * (RADIUS * dlon) ** 2
    return A, b.values[wet]


def speed(psi: xr.DataArray) -> xr.DataArray:
    """Of the flow along the lines of `psi`, in m/s."""
    metre = np.deg2rad(1.0) * RADIUS
    north = psi.differentiate("lon") / (metre * np.cos(np.deg2rad(psi.lat)))
    return np.hypot(psi.differentiate("lat") / metre, north)


def picture(psi: xr.DataArray, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    every = max(1, psi.lon.size // 1440)
    psi = psi[::every, ::every]
    figure, axes = plt.subplots(2, 1, figsize=(10, 8.4), layout="constrained", sharex=True)
    fields = (
        (axes[0], psi / 1e4, "RdBu_r", True, "streamfunction, 10$^4$ m$^2$/s"),
        (axes[1], speed(psi), "viridis", False, "speed, m/s"),
    )
    for ax, field, colours, signed, label in fields:
        ax.set_facecolor("0.75")
        top = float(abs(field).quantile(0.995))
        drawn = ax.pcolormesh(
            field.lon, field.lat, field, cmap=colours, vmin=-top if signed else 0.0, vmax=top,
            rasterized=True,
        )  # fmt: skip
        if signed:
            levels = np.linspace(-top, top, 15)
            ax.contour(field.lon, field.lat, field, levels, colors="k", linewidths=0.3)
        figure.colorbar(drawn, ax=ax, label=label, extend="both" if signed else "max", pad=0.01)
        ax.set(ylabel="latitude", aspect="equal")
    axes[1].set_xlabel("longitude")
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main(points: int = 1, rtol: float = 1e-8, path: str | None = None) -> dasksor.Result:
    zeta = vorticity(points)
    began = time.perf_counter()
    A, b = equations(zeta)
    built = time.perf_counter() - began
    result = dasksor.solve(A, b, mode="threads", rtol=rtol)
    psi = zeta.copy(data=np.full(zeta.shape, np.nan)).rename("streamfunction")
    psi.values[zeta.notnull()] = result.x
    print(f"{zeta.lat.size} x {zeta.lon.size} points, {int(zeta.notnull().sum())} of them at sea")
    print(result)
    print(f"matrix {built:.2f} s, solve {result.timings['wall']:.2f} s")
    print(f"audit: |b - A x| / |b| = {result.residual(A, b) / np.linalg.norm(b):.1e}")
    print(f"fastest flow {float(speed(psi).max()):.2f} m/s")
    if path:
        picture(psi, path)
        print(f"picture in {path}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Streamfunction of an ocean from its vorticity.")
    parser.add_argument("points", nargs="?", type=int, default=1, help="points a degree")
    parser.add_argument("--rtol", type=float, default=1e-8)
    parser.add_argument("--picture", metavar="FILE.png")
    words = parser.parse_args()
    main(words.points, words.rtol, words.picture)
