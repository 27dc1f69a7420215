"""What a measurement hands back."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Evaluation:
    """Measures of one fitted flow, under the fixed names of the record.

    Attributes:
        metrics: `val/bits_per_dim`, `inversion/flow/xzx/max`, `sampling/b1/latency_ms`, ...
        labels: what the metrics mean and how they were made: `log_det`, `data`, `protocol`, ...
    """

    metrics: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __or__(self, other: "Evaluation") -> "Evaluation":
        """Join two measurements of the same flow."""
        return Evaluation(self.metrics | other.metrics, self.labels | other.labels)
