"""What `make bench` measures; each script prints its table alone, too: `python -m benchmarks.X`."""
