"""Estimators that are fitted to features of a frozen backbone."""
