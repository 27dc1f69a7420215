"""One trial as a process: leader, ranks, result."""
