"""Evaluation: predictions, metrics, baselines, comparison and reports."""
