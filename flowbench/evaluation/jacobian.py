"""The exact Jacobian of a flow at a few points: how ill-conditioned it is, and its true log-det."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import (
    SEED,
    in_double,
    measuring,
    place,
    within,
)
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Split

LARGEST_DIM = 784
"""Up to this many dimensions the whole Jacobian is taken: an MNIST image."""

POINTS = 8


def measure_jacobian(
    flow: Flow, data: FlowData, split: Split, *, points: int = POINTS, seconds: float
) -> dict[str, float]:
    """Return `jacobian/...`, from autograd in float64; nothing above 784 dimensions.

    * `condition_max`, `condition_median`, `sigma_min`, `sigma_max`: of the Jacobian of encode in
      flow coordinates, after the preprocessing: an error in the latent may be 1 / sigma_min times
      as large in x;
    * `log_det_error_max`: the largest difference between the flow's log-det, preprocessing
      included, and that of the Jacobian; the noise of an estimated one included;
    * `points`.

    Args:
        flow: a model that can encode.
        data: the data set it was trained on.
        split: which part.
        points: how many held-out points.
        seconds: time after which no further point is begun.
    """
    if flow.dim > LARGEST_DIM:
        return {}
    exact = in_double(flow)
    device = place(flow)[0]
    spectra, errors = [], []
    for batch in within(seconds, data.batches(split, 1, limit=points)):
        here = batch.to(device)
        x, context = here.x.double(), None if here.context is None else here.context.double()
        with measuring(exact):
            y = exact.preprocess.encode_map(x)
            exact.key_noise(SEED, 0, here.row)
            log_det = exact.encode(x, context)[1][0]
        outer = jacobian(lambda x, _: exact.preprocess.encode_map(x), x, None, exact)
        inner = jacobian(exact.flow.encode_map, y, context, exact)
        spectra.append(_singular_values(inner))
        true = torch.linalg.slogdet(inner)[1] + torch.linalg.slogdet(outer)[1]
        errors.append((log_det - true).abs())
    sigma = torch.stack(spectra)
    condition = (sigma[:, 0] / sigma[:, -1]).nan_to_num(nan=inf)
    found = {
        "condition_max": float(condition.max()),
        "condition_median": float(condition.median()),
        "sigma_min": float(sigma.min()),
        "sigma_max": float(sigma.max()),
        "log_det_error_max": float(torch.stack(errors).nan_to_num(nan=inf).max()),
        "points": float(len(errors)),
    }
    return {f"jacobian/{name}": value for name, value in found.items()}


def jacobian(
    encode: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None, flow: Flow
) -> Tensor:
    """Return the Jacobian of a map at one point, ``(D, D)``: rows are outputs.

    D copies of the point go through the map as a batch, whose rows are independent: the gradient
    of the i-th output of the i-th copy is the i-th row. Any layer will do, solvers and hooks
    included.

    Args:
        encode: from ``(N, *event_shape)`` to D numbers a row.
        x: ``(1, *event_shape)``.
        context: ``(1, C)`` or None.
        flow: whose map it is; decides how many copies go at once.
    """
    dim = x.numel()
    at_once = rows_at_once(flow, dim)
    rows = []
    for start in range(0, dim, at_once):
        outputs = torch.arange(start, min(start + at_once, dim), device=x.device)
        copies = x.expand(len(outputs), *x.shape[1:]).clone().requires_grad_()
        given = None if context is None else context.expand(len(outputs), -1)
        with torch.enable_grad():
            z = encode(copies, given).flatten(1)
            own = z.gather(1, outputs[:, None]).sum()
        rows.append(torch.autograd.grad(own, copies)[0].flatten(1))
    return torch.cat(rows)


def _singular_values(matrix: Tensor) -> Tensor:
    """Return the singular values, largest first; NaN where the matrix has entries that are none."""
    if not matrix.isfinite().all():
        return matrix.new_full((len(matrix),), torch.nan)
    values: Tensor = torch.linalg.svdvals(matrix)
    return values
