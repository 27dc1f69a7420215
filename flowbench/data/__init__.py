"""Data sets by name and users' own files, split, hashed and dequantised."""
