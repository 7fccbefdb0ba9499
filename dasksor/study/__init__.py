"""Studies: grids of problems, systems and workers, run side by side."""
