"""One rank of a trial: data, model, fit; then, on rank 0 alone, the measures."""

import os
import platform
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from flowbench.data.module import FlowData, open_data
from flowbench.data.summary import baselines
from flowbench.errors import NotInvertible
from flowbench.evaluation import Evaluation, evaluate
from flowbench.evaluation.rough import peak_memory
from flowbench.evaluation.timing import device_name
from flowbench.families.checkpoint import load_flow
from flowbench.families.flow import Flow
from flowbench.families.registry import create
from flowbench.run_directory import AttemptDirectory, RunDirectory, TrialResult
from flowbench.spec.run import RunSpec
from flowbench.spec.vocabulary import PEAK_MEMORY, SPLIT_PREFIX
from flowbench.training.fit import Fitted, fit
from flowbench.training.placement import device_type, dtype
from flowbench.trial.limits import limit_memory, set_seeds, set_threads

VERSIONS = ("torch", "pytorch-lightning", "numpy", "flowbench")
LIPSCHITZ_POINTS = 256
"""Held-out points at which the Lipschitz constants of a fitted model are measured."""


def run_rank(run: RunDirectory, attempt: AttemptDirectory) -> TrialResult | None:
    """Run this process's share of a trial; return the result on rank 0, None elsewhere.

    Raises:
        InputError: for a mistake in the family's keys or in the data, in a sentence.
    """
    spec = run.spec()
    first = os.environ.get("RANK", "0") == "0"
    set_threads(spec.training, run.replay())
    set_seeds(spec.model_seed)  # every rank draws the same initial weights
    limit_memory(attempt.terms(), device_type(spec.training))
    if first:
        _stage(attempt, "data")
    data = open_data(spec.data, spec.data_seed, spec.training.batch_size, dtype(spec.training))
    flow = create(
        spec.family.name,
        data.info.event_shape,
        preprocess=data.preprocess(),
        context_size=data.info.context_size,
        **spec.family.hyperparameters,
    )
    if first:
        attempt.append_event("start", start_facts(flow, data, spec))
        _stage(attempt, "training")
    fitted = fit(flow, data, spec, attempt)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return measured(fitted, data, spec, attempt) if first else None


def start_facts(flow: Flow, data: FlowData, spec: RunSpec) -> dict[str, Any]:
    """Return what a run states when it begins: its data, its size, what it must beat."""
    known = baselines(data)
    # A sweep compares validations with this one.
    gaussian = known[f"gaussian/{SPLIT_PREFIX['validation']}/bits_per_dim"]
    versions = {name: version(name) for name in VERSIONS}
    return {
        "device": device_name(torch.device(device_type(spec.training))),
        "data_hash": data.info.content_hash,
        "baselines": {"gaussian": gaussian, **known},
        "versions": {"python": platform.python_version(), **versions},
        "threads": torch.get_num_threads(),
        "n_parameters": sum(p.numel() for p in flow.parameters() if p.requires_grad),
    }


def measured(
    fitted: Fitted, data: FlowData, spec: RunSpec, attempt: AttemptDirectory
) -> TrialResult:
    """Return the result of a fit, its best model measured if the fit was completed."""
    training = spec.training
    result = TrialResult(
        outcome=fitted.outcome,
        reason=fitted.reason,
        metrics=fitted.best,
        labels={
            "device": device_name(torch.device(device_type(training))),
            "compiled": fitted.compiled,
        },
        epochs=fitted.epochs,
        steps=fitted.steps,
        device_seconds=fitted.seconds * training.devices,
    )
    if fitted.outcome != "completed":
        return result
    device = torch.device(device_type(training))
    flow = load_flow(attempt.model).to(device)
    try:
        evaluation = evaluate(
            flow,
            data,
            spec.evaluation,
            out=attempt.path,
            progress=lambda part: _stage(attempt, f"measuring {part}"),
        )
        evaluation |= lipschitz(flow, data)
        evaluation |= Evaluation({PEAK_MEMORY: peak_memory(device)})
    except NotInvertible as error:
        return result.model_copy(update={"outcome": "not_invertible", "reason": str(error)})
    return result.model_copy(
        update={
            "metrics": result.metrics | evaluation.metrics,
            "labels": result.labels | evaluation.labels,
        }
    )


@runtime_checkable
class ReportsLipschitz(Protocol):
    """A flow whose invertibility rests on Lipschitz constants."""

    def lipschitz_report(self, x: Tensor) -> dict[str, float]:
        """Return what is known of them, see `families.residual`."""


def lipschitz(flow: Flow, data: FlowData) -> Evaluation:
    """Return the Lipschitz constants of a fitted flow, and whether they prove it invertible."""
    if not isinstance(flow, ReportsLipschitz):
        return Evaluation()
    parameter = next(flow.parameters())
    batches = data.batches("validation", LIPSCHITZ_POINTS, limit=LIPSCHITZ_POINTS)
    report = flow.lipschitz_report(next(batches).x.to(parameter))
    proven = report["certified"] < 1
    return Evaluation(
        {f"lipschitz/{name}": value for name, value in report.items()},
        {"certificate": "certified" if proven else "not certified"},
    )


def _stage(attempt: AttemptDirectory, name: str) -> None:
    attempt.append_event("stage", {"stage": name})
