"""How good a flow's samples look, where that can be told by a number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flowbench.data.batch import Batch
from flowbench.data.module import FlowData
from flowbench.evaluation.classifier import Classifier, Judgement, classifier_of
from flowbench.evaluation.measuring import SEED, place
from flowbench.evaluation.neighbours import precision_recall
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.samples import draw
from flowbench.evaluation.two_sample import two_sample_test
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Split

IMAGES = 2500
"""Samples of images, at the most; beside them stand two halves of as many real ones each."""

VECTORS = 10_000
"""Samples of vectors, at the most, against as many real points."""

FEWEST = 20
"""Samples below which no score says anything."""

CONFIDENT = 0.9
"""Confidence above which a classifier accepts an image as one of its classes."""


def sample_scores(flow: Flow, data: FlowData, split: Split) -> Evaluation:
    """Score samples by the names of the record, `samples/...`; the label `samples` says by what.

    Images of a data set that a frozen classifier knows, floored to integers, and beside each
    figure that of held-out real images (`samples/real_...`):

    * `confident_share`: share with a class of probability above 0.9; `confidence_mean`;
    * `precision`, `recall`: by nearest neighbours among the classifier's features, against one half
      of the real images; for `real_` the other half takes the samples' place.

    Vectors: `two_sample_accuracy` with its `_se`, how often a classifier tells a sample from a
    real point, and `two_sample_p` against 1/2; given the context where there is one.

    `samples/points` is how many samples were scored, `samples/nonfinite` the share of those that
    are no numbers: they are accepted by nothing. Other images have no metric.

    Args:
        flow: the model.
        data: the data set it was trained on.
        split: the part that real points, and contexts, come from.
    """
    if data.info.kind != "image":
        count = min(VECTORS, len(data.split(split)))
        return _score_vectors(flow, data, split, count) if count >= FEWEST else _too_few(count)
    classifier = classifier_of(data.info)
    if classifier is None:
        return Evaluation(labels={"samples": f"not scored: no classifier of {data.info.name}"})
    count = min(IMAGES, len(data.split(split)) // 2)
    if count < FEWEST:
        return _too_few(count)
    return _score_images(flow, data, split, count, classifier)


def _too_few(count: int) -> Evaluation:
    return Evaluation(labels={"samples": f"not scored: {count} held-out points are too few"})


def _score_images(
    flow: Flow, data: FlowData, split: Split, count: int, classifier: Classifier
) -> Evaluation:
    samples = data.dequantise.quantise(draw(flow, count))
    real, other = _held_out(data, split, 2 * count).x.split(count)
    manifold = classifier.judge(real).features
    scores = _image_scores(classifier.judge(samples), manifold)
    reference = _image_scores(classifier.judge(other), manifold)
    scores |= {f"real_{name}": value for name, value in reference.items()}
    about = classifier.about
    label = f"classifier of {about.data}, {100 * about.accuracy:.1f} % of its test images right"
    if about.data_hash != data.info.content_hash:
        label += ", trained on another split"  # it may know some of the real images held out here
    return _evaluation(scores, samples, label)


def _image_scores(judgement: Judgement, manifold: Tensor) -> dict[str, float]:
    precision, recall = precision_recall(manifold, judgement.features)
    return {
        "confident_share": float((judgement.confidence > CONFIDENT).double().mean()),
        "confidence_mean": float(judgement.confidence.double().mean()),
        "precision": precision,
        "recall": recall,
    }


def _score_vectors(flow: Flow, data: FlowData, split: Split, count: int) -> Evaluation:
    real = _held_out(data, split, count)
    device, dtype = place(flow)
    context = None if real.context is None else real.context.to(device, dtype)
    samples = data.dequantise.quantise(draw(flow, count, context))
    given = [] if real.context is None else [real.context]
    test = two_sample_test(
        torch.cat([real.x, *given], 1).numpy(), torch.cat([samples, *given], 1).numpy()
    )
    scores = {
        "two_sample_accuracy": test.accuracy,
        "two_sample_accuracy_se": test.se,
        "two_sample_p": test.p,
    }
    return _evaluation(scores, samples, "classifier two-sample test")


def _held_out(data: FlowData, split: Split, count: int) -> Batch:
    """Return held-out points as they are, in an order of their own.

    Published sets are not shuffled: the first half of MNIST's test images is the cleaner one.
    """
    part = data.split(split)
    order = np.random.default_rng(SEED).permutation(len(part))
    return part[order[:count].tolist()]


def _evaluation(scores: dict[str, float], samples: Tensor, label: str) -> Evaluation:
    broken = ~samples.flatten(1).isfinite().all(1)
    scores |= {"points": float(len(samples)), "nonfinite": float(broken.double().mean())}
    return Evaluation({f"samples/{k}": v for k, v in scores.items()}, {"samples": label})
