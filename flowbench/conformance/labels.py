"""Whether what a model says about its numbers is so."""

from copy import deepcopy
from typing import get_args

from flowbench.bijections.base import Bijection
from flowbench.conformance.case import Case
from flowbench.conformance.result import Finding, not_checked, offences
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel, weakest_log_det


def labels(case: Case) -> Finding:
    """The labels are words of the vocabulary, and the weakest of the layers' own."""
    wrong = []
    for training in (True, False):
        model = deepcopy(case.model).train(training)
        mode = "training" if training else "evaluation"
        layers = [module for module in model.modules() if isinstance(module, Bijection)]
        log_det, inverse = model.log_det_label, model.inverse_label
        if log_det not in get_args(LogDetLabel) or inverse not in get_args(InverseLabel):
            wrong.append(f"{log_det}, {inverse} in {mode} are no labels")
            continue
        if not layers:
            continue
        weakest = weakest_log_det([layer.log_det_label for layer in layers])
        if weakest_log_det([log_det, weakest]) != log_det:  # type: ignore[list-item]
            wrong.append(f"log-det is called {log_det} in {mode}, a layer's {weakest}")
        if inverse == "analytic" and any(x.inverse_label == "iterative" for x in layers):
            wrong.append(f"inverse is called analytic in {mode}, a layer's iterative")
    return offences(wrong, "labels")


def converged(case: Case) -> Finding | None:
    """Iterative inverses report how they ended, and all samples converged."""
    if case.model.inverse_label != "iterative":
        return None
    for layer in case.layers:
        layer.convergence = None
    case.numbers(case.x, case.z, case.context)
    reports = [layer.convergence for layer in case.layers if layer.convergence is not None]
    if not reports:
        return not_checked("no layer reports how it ended")
    most = max((int(each.iterations.max()) for each in reports if len(each.iterations)), default=0)
    missed = sum(each.unconverged for each in reports)
    return Finding(float(missed), 0.0, f"at most {most} iterations")
