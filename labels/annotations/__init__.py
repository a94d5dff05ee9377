"""Annotations: labels from rules, imports, models and manual annotation."""
