"""What the files of a run hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flowbench.spec.vocabulary import Outcome


class TrialResult(BaseModel):
    """How a trial ended."""

    # Written as `NaN` and `Infinity`: as null, pydantic's default, they could not be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    outcome: Outcome
    reason: str = ""
    """One sentence; empty for `completed`."""
    metrics: dict[str, float] = {}
    """The fixed names of the record, e.g. `val/bits_per_dim`."""
    labels: dict[str, str] = {}
    """What the metrics mean and were made by: log_det, data, inverse, protocol, device, ..."""
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    """Wall-clock time of the attempt."""
    device_seconds: float = 0.0
    """Time of the fit, multiplied by the number of devices."""


class Terms(BaseModel):
    """What a driver asks of an attempt beside its specification: `terms.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_gib: float | None = None
    """What each rank may allocate on a CPU; None sets no limit."""
    verdict_seconds: float | None = None
    """How long to wait at each validation for the word that it was judged; None does not wait."""


class Sign(BaseModel):
    """A sign of life: the file `progress`, written by rank 0 at most once a second."""

    model_config = ConfigDict(frozen=True)

    steps: int
    """Of the optimiser, in all attempts."""
    batches: int
    """Trained or validated, in this attempt: it grows in validations too."""


class Pace(BaseModel):
    """How a training with a budget in seconds went, so that it can be repeated: `pace.json`.

    The learning rate follows the clock in thousandths of the budget, so that a few numbers tell
    all of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thousandths: tuple[tuple[int, int], ...]
    """(step, thousandth): from this step on so much of the budget counted as spent."""
    steps: int
    """Steps of the optimiser in all."""


class Replay(BaseModel):
    """How a run is to repeat an earlier one to the last bit: `replay.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Annotated[int, Field(ge=1)]
    """CPU threads of each rank: sums depend on how they are shared out."""
    pace: Pace | None = None
    """Of a run with a budget in seconds."""
