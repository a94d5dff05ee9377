"""Metrics of single-label and multilabel targets."""
