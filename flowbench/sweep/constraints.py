"""What makes a configuration infeasible, as Optuna is told it: above zero is a violation."""

from flowbench.spec.vocabulary import Outcome

FAILURE = "failure"
"""The constraint that a trial which diverged, ran out of memory or time, or is not invertible
violates: Optuna's samplers do not see failed trials at all, and would go there again."""

SHUNNED: tuple[Outcome, ...] = ("diverged", "out_of_memory", "not_invertible", "timed_out")
"""Outcomes that say something of the configuration."""
