"""The checks that every layer and family must pass, at perturbed parameters."""
