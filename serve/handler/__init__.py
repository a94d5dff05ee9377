"""The TorchServe handler and the prediction service; copied whole into model archives."""
