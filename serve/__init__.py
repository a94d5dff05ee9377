"""Serve what was learned, through TorchServe."""
