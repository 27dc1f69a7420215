"""What a run and a sweep are: validated, frozen, hashable; no torch."""
