"""Where segments run: in this process for tests, or on a Dask cluster."""
