"""Invertible layers, one concept a file."""
