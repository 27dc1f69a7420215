"""How well a flow models held-out data: nats and bits a dimension, each with its standard error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.data.summary import baselines
from flowbench.evaluation.measuring import SEED, measuring, place
from flowbench.families.flow import Flow
from flowbench.metrics.bits_per_dim import BitsPerDim
from flowbench.spec.vocabulary import SPLIT_PREFIX, Split


@dataclass(frozen=True)
class Points:
    """Log-densities point by point.

    Attributes:
        row: index of each point in its data set, ``(N,)``.
        log_prob: nats, ``(N,)``, float64; the mean over dequantization draws.
        se: standard error of each as an estimate, ``(N,)``: of the mean over several draws, or of
            an estimated log-det at a single one; 0 where the value is exact.
        estimated: whether any log-det was estimated from random probes.
    """

    row: Tensor
    log_prob: Tensor
    se: Tensor
    estimated: bool

    def write(self, path: Path, gaussian: Tensor | None = None) -> None:
        """Write columns `row`, `log_prob` and `se` as Parquet.

        Args:
            path: the file.
            gaussian: the Gaussian baseline's log-densities of the same points, ``(N,)``, for a
                column of that name: the gain over it is then known point by point.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"row": self.row, "log_prob": self.log_prob, "se": self.se}
        if gaussian is not None:
            columns["gaussian"] = gaussian
        pq.write_table(pa.table({name: column.numpy() for name, column in columns.items()}), path)


def draws_needed(data: FlowData, draws: int) -> int:
    """Return how many dequantization draws there are to average: one where there is no noise."""
    return draws if data.dequantise.active else 1


@dataclass(frozen=True)
class Scores:
    """Log-densities point by point and draw by draw.

    Attributes:
        row: index of each point in its data set, ``(N,)``.
        log_prob: nats, one row for each of K dequantization draws, ``(K, N)``, float64.
        variance: of each as an estimate, ``(K, N)``; 0 where the log-det is exact.
    """

    row: Tensor
    log_prob: Tensor
    variance: Tensor

    def first(self, draws: int) -> Scores:
        """Return the first `draws` draws, or as many as there are."""
        return Scores(self.row, self.log_prob[:draws], self.variance[:draws])

    def points(self, draws: int) -> Points:
        """Average the first `draws` draws, or as many as there are."""
        log_prob, variance = self.log_prob[:draws], self.variance[:draws]
        count = len(log_prob)
        # The spread over several draws holds the estimators' own noise, which is drawn anew each
        # time.
        squares = log_prob.var(0) if count > 1 else variance[0]
        se = (squares / count).sqrt()
        return Points(self.row, log_prob.mean(0), se, bool((variance > 0).any()))


def score_draws(
    flow: Flow, data: FlowData, split: Split, *, draws: int = 1, batch_size: int = 1024
) -> Scores:
    """Return the log-density of every point of a split, for each dequantization draw.

    Args:
        flow: the model.
        data: the data set it was trained on.
        split: which part.
        draws: how many; data without noise have one.
        batch_size: points at a time, at the most.
    """
    device, dtype = place(flow)
    batch_size = rows_at_once(flow, batch_size)
    scores, variances, rows = [], [], []
    with measuring(flow):
        for draw in range(draws_needed(data, draws)):
            for batch in data.batches(split, batch_size, draw=draw):
                here = batch.to(device)
                context = None if here.context is None else here.context.to(dtype)
                flow.key_noise(SEED, draw, here.row)
                scores.append(flow(here.x.to(dtype), context).double().cpu())
                variances.append(estimator_variance(flow, len(here)))
                if draw == 0:
                    rows.append(batch.row)
    row = torch.cat(rows)
    shape = (-1, len(row))
    return Scores(row, torch.cat(scores).reshape(shape), torch.cat(variances).reshape(shape))


def score_split(
    flow: Flow, data: FlowData, split: Split, *, draws: int = 1, batch_size: int = 1024
) -> Points:
    """Return the log-density of every point of a split, the mean over dequantization draws."""
    scores = score_draws(flow, data, split, draws=draws, batch_size=batch_size)
    return scores.points(draws)


def estimator_variance(flow: Flow, count: int) -> Tensor:
    """Return the variance of the last log-determinants as estimates, ``(count,)``; 0 if exact."""
    total = torch.zeros(count, dtype=torch.float64)
    for layer in flow.bijections():
        variance: Tensor | None = getattr(layer, "log_det_variance", None)
        if variance is not None:
            total += variance.double().cpu()
    return total


def measure_likelihood(
    points: Points, flow: Flow, data: FlowData, split: Split
) -> dict[str, float]:
    """Return a split's likelihood by the names of the record, `val/...` or `test/...`.

    * `nats`, `bits_per_dim`: means with their `_se`; `points`, and how many are `nonfinite` (one
      that is makes the means so);
    * `gain_over_gaussian`: bits/dim below the full-covariance Gaussian fitted to the training data;
    * `nats_standardised`: nats in units in which each column of the training data has deviation 1
      (tables and densities);
    * `excess_over_entropy`: mean of log p_true - log q on the same points, nats, with its `_se`,
      where the true density is known;
    * `estimator_se`: the part of `nats_se` that is the noise of log-det estimates;
      `log_det_bias_bound`: the most that truncated series can be off, nats a point.
    """
    prefix = SPLIT_PREFIX[split]
    metric = BitsPerDim(flow.dim, sync_on_compute=False)
    metric.update(points.log_prob)
    found = {name: float(value) for name, value in metric.compute().items()}
    found["points"] = found.pop("count")
    gaussian = baselines(data)[f"gaussian/{prefix}/bits_per_dim"]
    found["gain_over_gaussian"] = gaussian - found["bits_per_dim"]
    if data.info.kind != "image":
        found["nats_standardised"] = found["nats"] + log_deviations(data)
    if data.source.density is not None:
        x = torch.cat([batch.x for batch in data.batches(split)]).double().numpy()
        excess = torch.from_numpy(data.source.density.log_prob(x)) - points.log_prob
        found["excess_over_entropy"] = float(excess.mean())
        found["excess_over_entropy_se"] = float(excess.std() / len(excess) ** 0.5)
    if points.estimated:
        found["estimator_se"] = float(points.se.square().sum().sqrt() / len(points.se))
    bias = sum(float(getattr(layer, "bias_bound", 0.0)) for layer in flow.bijections())
    if bias:
        found["log_det_bias_bound"] = bias
    return {f"{prefix}/{name}": value for name, value in found.items()}


def log_deviations(data: FlowData) -> float:
    """Return the sum of the logarithms of the training columns' standard deviations."""
    x = torch.cat([batch.x.flatten(1) for batch in data.batches("train")]).double()
    return float(x.std(0, correction=0).log().sum())
