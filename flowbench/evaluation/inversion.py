"""Whether a flow is invertible in practice: what is left of points after a round trip."""

from __future__ import annotations

import torch
from torch import Tensor

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import measuring, place, seeded, within
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.metrics.inversion import ExactShare, InversionError
from flowbench.spec.vocabulary import Split

QUANTILES = ("max", "p99", "median", "nonfinite")


def measure_inversion(
    flow: Flow,
    data: FlowData,
    split: Split,
    *,
    points: int = 1024,
    batch_size: int = 1024,
    seconds: float | None = None,
) -> dict[str, float]:
    """Return round-trip errors by the names of the record, `inversion/...`.

    Errors are each sample's largest coordinate; `max`, `p99` and `median` are taken over samples,
    `nonfinite` is the share of those that end in no number.

    * `flow/xzx`: held-out points to the latent and back, in flow coordinates (after the
      preprocessing): the figure that is ranked; `data/xzx`: the same end to end, in data units;
    * `flow/zxz`, `data/zxz`: as many latents of the base (of held-out points, for a user's own
      flow) decoded and encoded again;
    * `exact_share`: integer samples that come back exactly;
    * `points`: how many were tried; `iterations_mean`, `iterations_max` of one iterative solve and
      `unconverged` samples in it, where there is one.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        split: which part.
        points: how many held-out points; all where there are fewer.
        batch_size: points at a time, at the most.
        seconds: time after which no further batch is begun; None takes all points.
    """
    device, dtype = place(flow)
    batch_size = rows_at_once(flow, batch_size)
    generator = seeded(flow)
    errors = {
        name: InversionError(sync_on_compute=False).to(device)
        for name in ("flow/xzx", "data/xzx", "flow/zxz", "data/zxz")
    }
    exact = ExactShare(sync_on_compute=False).to(device)
    solves = Solves()
    with measuring(flow):
        for batch in within(seconds, data.batches(split, batch_size, limit=points)):
            here = batch.to(device)
            x = here.x.to(dtype)
            context = None if here.context is None else here.context.to(dtype)
            y = flow.preprocess.encode_map(x)
            y_back = flow.flow.decode_map(flow.flow.encode_map(y, context), context)
            unconverged = solves.add(flow)
            errors["flow/xzx"].update(y, y_back, unconverged)
            x_back = flow.preprocess.decode_map(y_back)
            errors["data/xzx"].update(x, x_back)
            if data.dequantise.active:
                exact.update(*_integers(data, x, x_back))

            z = flow.base.sample(len(x), generator=generator)
            if isinstance(flow, ForeignFlow):
                # Where a user's own latents live is not known; those of data are among them.
                z = flow.flow.encode_map(y, context)
            y = flow.flow.decode_map(z, context)
            unconverged = solves.add(flow)
            errors["flow/zxz"].update(z, flow.flow.encode_map(y, context), unconverged)
            y_back = flow.preprocess.encode_map(flow.preprocess.decode_map(y))
            errors["data/zxz"].update(z, flow.flow.encode_map(y_back, context))
    found: dict[str, float] = {}
    for name, error in errors.items():
        found |= quantiles(error, name)
    found["points"] = float(errors["flow/xzx"].compute()["points"])
    if data.dequantise.active:
        found["exact_share"] = float(exact.compute())
    found |= solves.metrics()
    return {f"inversion/{name}": value for name, value in found.items()}


def quantiles(error: InversionError, name: str) -> dict[str, float]:
    """Return what is recorded of errors over points, `name/max` and its like."""
    measured = error.compute()
    return {f"{name}/{key}": float(measured[key]) for key in QUANTILES}


class Solves:
    """How the iterative inverses inside a flow ended, over all that were run."""

    def __init__(self) -> None:
        self.iterations: list[Tensor] = []
        self.unconverged = 0

    def add(self, flow: Flow) -> int:
        """Take in each layer's last solve; return how many samples any of them gave up on."""
        layers = [layer.convergence for layer in flow.bijections() if layer.convergence is not None]
        if not layers:
            return 0
        self.iterations += [solve.iterations.flatten().cpu() for solve in layers]
        converged = torch.stack([solve.converged for solve in layers]).all(0)
        unconverged = int((~converged).sum())
        self.unconverged += unconverged
        return unconverged

    def metrics(self) -> dict[str, float]:
        """Return mean and largest number of iterations, and the samples given up on."""
        if not self.iterations:
            return {}
        iterations = torch.cat(self.iterations).double()
        return {
            "iterations_mean": float(iterations.mean()),
            "iterations_max": float(iterations.max()),
            "unconverged": float(self.unconverged),
        }


def _integers(data: FlowData, x: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates that are integers, as they were and as they came back."""
    original, recovered = data.dequantise.quantise(x), data.dequantise.quantise(back)
    columns = data.dequantise.columns
    if data.dequantise.levels is not None or columns is None:
        return original, recovered
    return original[:, list(columns)], recovered[:, list(columns)]
