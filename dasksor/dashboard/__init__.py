"""The page of solves in Dask's dashboard: what is said, what is kept of it, and how it is shown."""
