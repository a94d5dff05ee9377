"""Leases: which process works on which run, host and photograph, and how many requests a service allows."""
