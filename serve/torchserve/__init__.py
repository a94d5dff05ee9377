"""Start, configure and monitor TorchServe."""
