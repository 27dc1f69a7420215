"""Real services of this machine's own, started and stopped by tests or by hand."""
