"""Configure, start, monitor and stop TorchServe."""
