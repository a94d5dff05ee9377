"""Serve a run with LitServe instead of TorchServe (extra ``lightmeter[litserve]``)."""
