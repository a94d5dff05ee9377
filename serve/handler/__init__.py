"""The TorchServe handler and the prediction service; this folder is copied whole into model archives."""
