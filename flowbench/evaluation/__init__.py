"""The measuring protocols: likelihood, inversion, sampling speed."""
