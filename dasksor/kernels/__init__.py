"""Sweeps and residuals over a range of rows: numba on flat arrays, no knowledge of blocks."""
