"""Metrics of predictions about one target, for targets with one class or several classes per photograph."""
