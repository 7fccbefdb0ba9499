"""Pictures of solves: Bokeh figures from plain numbers, which read and write nothing."""

from dasksor.charts.bars import split, sweeps, versus
from dasksor.charts.curves import efficiency, predicted, residuals, seconds, speedup, traffic

__all__ = [
    "efficiency",
    "predicted",
    "residuals",
    "seconds",
    "speedup",
    "split",
    "sweeps",
    "traffic",
    "versus",
]
