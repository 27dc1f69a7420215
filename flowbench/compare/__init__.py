"""One frame of all runs, its statistics and fairness checks."""
