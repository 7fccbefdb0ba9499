"""Studies: problems x systems x workers, measured, kept and shown."""

from dasksor.study.grid import Cell, Grid, Product
from dasksor.study.record import Record, Study
from dasksor.study.run import run

__all__ = ["Cell", "Grid", "Product", "Record", "Study", "run"]
