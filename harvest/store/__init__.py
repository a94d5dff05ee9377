"""Maintenance of the photo store with the catalogue: check, copy and garbage collection."""
