"""What the full protocol adds to a run's measures, as a person reads it."""

from collections.abc import Iterator, Mapping

from flowbench.compare.columns import significant, with_error
from flowbench.spec.metrics import OUT_OF_DISTRIBUTION


def full_rows(metrics: Mapping[str, float], labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what was measured and its value in words; nothing for what the quick protocol has.

    Args:
        metrics: under the names of the record.
        labels: what they mean.
    """
    yield from _inversion(metrics)
    yield from _costs(metrics, labels)
    yield from _samples(metrics)
    if "latent/ks_max" in metrics:
        yield (
            "latent against the base",
            f"KS distance {_short(metrics['latent/ks_max'])} at most, p = "
            f"{_short(metrics['latent/ks_p_min'])}; of the radius "
            f"{_short(metrics['latent/radius_ks'])}",
        )
    if "not_measured" in labels:
        yield "not measured", labels["not_measured"]


def _inversion(metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for words, name in (
        ("in float64", "inversion/flow/xzx/max_float64"),
        ("after nine passes", "inversion/flow/xzx9/max"),
        ("own samples", "inversion/samples/flow/max"),
    ):
        if name in metrics:
            yield f"inversion error, {words}", _short(metrics[name])
    unseen = {
        kind: metrics[name]
        for kind in OUT_OF_DISTRIBUTION
        if (name := f"inversion/{kind}/flow/max") in metrics
    }
    if unseen:
        kind = max(unseen, key=unseen.__getitem__)
        yield "inversion error, unseen inputs", f"{_short(unseen[kind])}, the worst of 5 ({kind})"
    if "inversion/contraction" in metrics:
        yield "contraction", f"{_short(metrics['inversion/contraction'])} an iteration"
    if "jacobian/condition_max" in metrics:
        yield (
            "Jacobian",
            f"condition {_short(metrics['jacobian/condition_max'])} at most, log-det off by "
            f"{_short(metrics['jacobian/log_det_error_max'])} at most, "
            f"{metrics['jacobian/points']:.0f} points",
        )


def _costs(metrics: Mapping[str, float], labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for batch in (1, 64, 1024):
        if f"density/b{batch}/latency_ms" in metrics:
            latency = significant(metrics[f"density/b{batch}/latency_ms"], 3)
            rate = metrics[f"density/b{batch}/points_per_second"]
            yield f"density, batch {batch}", f"{latency} ms, {rate:,.0f} points/s"
    if "training/step_ms" in metrics:
        step = significant(metrics["training/step_ms"], 3)
        yield "training step", f"{step} ms, batch {labels['training_batch']}"
    for words, name in (
        ("peak memory, 64 samples", "sampling"),
        ("peak memory, 64 points", "density"),
        ("peak memory, training step", "training"),
    ):
        if f"memory/{name}_mib" in metrics:
            yield words, f"{significant(metrics[f'memory/{name}_mib'], 3)} MiB"
    for words, name in (
        ("FLOPs, a sample", "sampling"),
        ("FLOPs, a point", "density"),
        ("FLOPs, a point trained", "training_step"),
    ):
        if f"flops/{name}" in metrics:
            yield words, f"{metrics[f'flops/{name}']:,.0f}"


def _samples(metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    if "samples/precision" in metrics:
        parts = []
        for words, name in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("confident", "confident_share"),
        ):
            ours, real = metrics[f"samples/{name}"], metrics[f"samples/real_{name}"]
            parts.append(f"{words} {ours:.3f} (real: {real:.3f})")
        yield "samples", "; ".join(parts)
    if "samples/two_sample_accuracy" in metrics:
        accuracy, error = (metrics[f"samples/two_sample_accuracy{e}"] for e in ("", "_se"))
        p = _short(metrics["samples/two_sample_p"])
        yield "samples", f"told from data with accuracy {with_error(accuracy, error)}, p = {p}"


def _short(value: float) -> str:
    return significant(value, 2)
