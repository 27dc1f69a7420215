"""Root finding, fixed points, spectral norms, determinants, keyed noise: functions on tensors."""
