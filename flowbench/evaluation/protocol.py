"""The measuring protocols, quick and full, of one fitted flow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from flowbench.data.module import FlowData
from flowbench.data.summary import gaussian_log_prob
from flowbench.evaluation.calibration import latent_calibration
from flowbench.evaluation.importance import importance_weighted, refusal
from flowbench.evaluation.inversion import measure_inversion
from flowbench.evaluation.inversion_in_full import measure_inversion_in_full
from flowbench.evaluation.iterations import measure_evaluations
from flowbench.evaluation.likelihood import draws_needed, measure_likelihood, score_draws
from flowbench.evaluation.measuring import held_out_context, place
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.rough import BATCH, rough_sampling_time
from flowbench.evaluation.sample_scores import sample_scores
from flowbench.evaluation.samples import save_samples
from flowbench.evaluation.speed import measure_speed
from flowbench.families.flow import Flow
from flowbench.spec.run import EvaluationSpec
from flowbench.spec.vocabulary import SAMPLING_TIME

POINTS_FILE = "points.parquet"
SAMPLES_FILE = "samples.npz"


def evaluate(
    flow: Flow,
    data: FlowData,
    spec: EvaluationSpec,
    *,
    out: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure a fitted flow on the split that `spec` names, in this process alone.

    The quick protocol: the likelihood, round trips of held-out points and of latents, sampling
    speed. The full one adds inversion in full (`inversion_in_full`), everything that a flow costs
    (`costs`, where speed is measured), scores of its samples and the calibration of its latent.
    The label `protocol` says which it was.

    What a user's own flow cannot do (encode, decode) is not measured.

    Args:
        flow: the model, on the device and in the precision to measure it in.
        data: the data set it was trained on.
        spec: split, draws, batch and pool sizes, and whether speed is measured.
        out: where to write `points.parquet` and `samples.npz`; None writes nothing.
        progress: called with a word as each part begins.
    """
    say = progress or (lambda _: None)
    full = spec.protocol == "full"
    say("likelihood")
    found = Evaluation({}, labels(flow, data, spec))
    refused = refusal(flow, data, spec.split) if spec.importance_draws else None
    weighted = (spec.importance_draws or 0) if refused is None else 0
    scores = score_draws(
        flow, data, spec.split, draws=max(spec.draws, weighted), batch_size=spec.batch_size
    )
    points = scores.points(spec.draws)
    found |= Evaluation(measure_likelihood(points, flow, data, spec.split))
    if weighted:
        found |= importance_weighted(scores.first(weighted), flow, spec.split)
    if refused is not None:
        found |= Evaluation({}, {"importance": refused})
    if flow.can_encode and flow.can_decode:
        say("inversion")
        inversion = measure_inversion(
            flow, data, spec.split, points=spec.inversion_points, batch_size=spec.batch_size
        )
        found |= Evaluation(inversion)
        found |= Evaluation(measure_evaluations(flow, data, spec.split))
        if full:
            say("inversion in full")
            found |= measure_inversion_in_full(flow, data, spec)
    if spec.rough_speed:
        say("rough speed")
        context = held_out_context(flow, data, spec.split, BATCH)
        found |= Evaluation({SAMPLING_TIME: rough_sampling_time(flow, context)})
    if spec.speed:
        say("speed")
        found |= measure_speed(flow, spec, data)
    if full:
        say("scores of samples")
        found |= sample_scores(flow, data, spec.split)
        if flow.can_encode:
            say("calibration")
            found |= Evaluation(latent_calibration(flow, data, spec.split))
    if out is not None:
        say("samples")
        # Dequantised data are ranked by bits/dim; the gain over the Gaussian ranks the others.
        ranked_by_gain = data.info.data_label == "density"
        gaussian = gaussian_log_prob(data, spec.split) if ranked_by_gain else None
        points.write(out / POINTS_FILE, gaussian)
        save_samples(flow, data, spec.split, spec.samples, out / SAMPLES_FILE)
    return found


def labels(flow: Flow, data: FlowData, spec: EvaluationSpec) -> dict[str, str]:
    """Return what the metrics mean and how they were made."""
    training = flow.training
    flow.eval()
    info = data.info
    found = {
        "log_det": flow.log_det_label,
        "inverse": flow.inverse_label,
        "data": info.data_label,
        "preprocess": json.dumps(data.preprocess_steps, sort_keys=True),
        "event_shape": "x".join(map(str, info.event_shape)),
        "columns": json.dumps(info.columns),
        "warnings": json.dumps(info.warnings),
        "protocol": spec.protocol,
        "draws": str(draws_needed(data, spec.draws)),
        "precision": str(place(flow)[1]).removeprefix("torch."),
    }
    flow.train(training)
    return found
