"""Annotations: labels from rules, imports, models and people."""
