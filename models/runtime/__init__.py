"""Preprocessing and prediction; copied whole into model archives."""
