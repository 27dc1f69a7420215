"""Bits per dimension and inversion error as torchmetrics."""
