"""A run's measures as a person reads them."""

from collections.abc import Iterator, Mapping

from flowbench.cli.full_measures import full_rows
from flowbench.compare.columns import significant, with_error
from flowbench.spec.vocabulary import SPLIT_PREFIX, Split

ENDINGS = ("_at_1e-3", "_at_1e-4", "_at_1e-5", "_at_1e-6", "")
"""Of the speeds of iterative samplers, at a stated error, and of the others."""
NOT_A_NUMBER = float("nan")


def measure_rows(
    metrics: Mapping[str, float], labels: Mapping[str, str], split: Split
) -> Iterator[tuple[str, str]]:
    """Yield what was measured and its value in words, the three measures of a flow in order.

    What the full protocol adds comes last.

    Args:
        metrics: under the names of the record.
        labels: what they mean.
        split: the part of the data that the likelihood is of.
    """
    yield from _likelihood(metrics, labels, split)
    yield from _sampling(metrics, labels)
    if "inversion/flow/xzx/max" in metrics:
        worst = significant(metrics["inversion/flow/xzx/max"], 2)
        yield "inversion error", f"{worst}, the worst of {metrics['inversion/points']:,.0f} points"
    if "inversion/exact_share" in metrics:
        yield "recovered exactly", f"{100 * metrics['inversion/exact_share']:.2f} %"
    yield from full_rows(metrics, labels)


def _likelihood(
    metrics: Mapping[str, float], labels: Mapping[str, str], split: Split
) -> Iterator[tuple[str, str]]:
    prefix = SPLIT_PREFIX[split]

    def estimate(name: str) -> str:
        value, error = metrics[f"{prefix}/{name}"], metrics.get(f"{prefix}/{name}_se", NOT_A_NUMBER)
        return with_error(value, error)

    if f"{prefix}/bits_per_dim" in metrics:
        yield f"bits/dim, {split}", f"{estimate('bits_per_dim')} ({_meaning(labels)})"
        yield "nats", estimate("nats")
    if f"{prefix}/bits_per_dim_iw" in metrics:
        draws = f"{labels['iw_draws']} draws, importance-weighted"
        yield f"bits/dim, {split}", f"{estimate('bits_per_dim_iw')} ({draws})"
    if "importance" in labels:
        yield "importance-weighted", f"refused: {labels['importance']}"
    if f"{prefix}/gain_over_gaussian" in metrics:
        yield "gain over a Gaussian", f"{estimate('gain_over_gaussian')} bits/dim"
    if f"{prefix}/excess_over_entropy" in metrics:
        yield "excess over the entropy", f"{estimate('excess_over_entropy')} nats"
    if metrics.get(f"{prefix}/nonfinite"):
        points = f"{metrics[f'{prefix}/points']:,.0f}"
        yield "not finite", f"{metrics[f'{prefix}/nonfinite']:,.0f} of {points} points"


def _sampling(metrics: Mapping[str, float], labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for batch in (1, 64, 1024):
        for ending in ENDINGS:
            at = f", at an error of {ending.removeprefix('_at_')}" if ending else ""
            latency = metrics.get(f"sampling/b{batch}/latency_ms{ending}")
            if latency is not None:
                rate = metrics[f"sampling/b{batch}/samples_per_second{ending}"]
                yield (
                    f"sampling, batch {batch}",
                    f"{significant(latency, 3)} ms, {rate:,.0f} samples/s{at}",
                )
    for ending in ("", *ENDINGS[1:-1]):
        if f"speed{ending}" in labels:
            at = f" at an error of {ending.removeprefix('_at_')}" if ending else ""
            yield f"sampling{at}", labels[f"speed{ending}"]


def _meaning(labels: Mapping[str, str]) -> str:
    """Say what a likelihood is: of what, and how far its log-det can be trusted."""
    words = {"dequantised": "dequantised: an upper bound", "density": "a density"}
    meaning = words.get(labels.get("data", ""), labels.get("data", ""))
    return f"{meaning}; log-det {labels['log_det']}" if "log_det" in labels else meaning
