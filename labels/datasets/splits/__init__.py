"""Leakage-safe splits: groups, classes, and the assignment of groups to train, validation and test."""
