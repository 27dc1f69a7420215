"""The flow families, their base distributions, registry and checkpoints."""
