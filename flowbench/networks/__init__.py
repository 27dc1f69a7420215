"""Conditioner networks: MLP, convolutional, Lipschitz-bounded."""
