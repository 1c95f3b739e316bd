"""wfplatform side by side with bare Dask: the same functions, the same cluster, one run, interleaved."""
