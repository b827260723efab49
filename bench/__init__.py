"""Benchmarks: our numbers beside the peers, in one run. `make bench`."""
