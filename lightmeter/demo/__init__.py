"""The demo: the full pipeline on simulated photographs."""
