"""How fast flows are, beside other libraries' of the same architecture: `make bench`."""
