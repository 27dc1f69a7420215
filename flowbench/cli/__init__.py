"""The command line; heavy imports inside commands, so that `--help` answers at once."""

from flowbench.cli.app import main

__all__ = ["main"]
