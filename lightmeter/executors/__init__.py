"""Executors: where pure functions over shards of photographs run, on this machine or on a Ray cluster."""
