"""The measuring protocols: likelihood, inversion, sampling speed."""

from flowbench.evaluation.protocol import evaluate
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.speed import measure_speed

__all__ = ["Evaluation", "evaluate", "measure_speed"]
