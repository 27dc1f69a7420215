"""Hyperparameter sweeps: search space, driver, launcher; no torch."""
