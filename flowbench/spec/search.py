"""The parts of a sweep file that say how families are searched, and within which bounds."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from flowbench.spec.distributions import Distribution
from flowbench.spec.run import FROZEN, Count, Positive
from flowbench.spec.vocabulary import Protocol

Sampler = Literal["tpe", "random", "qmc", "grid", "nsga2"]
Pruner = Literal["none", "median", "hyperband", "asha"]
Objective = Literal["bits_per_dim", "sampling_time"]
"""What a search makes small; the first is validation bits/dim, always."""


class FamilySearch(BaseModel):
    """How one family is searched."""

    model_config = FROZEN

    search: dict[str, Distribution] = {}
    """Keys searched for this family, beside the sweep's common ones (which these replace)."""
    fixed: dict[str, Any] = {}
    """Keys that are the same in every trial of this family."""


class Budget(BaseModel):
    """What every family may spend on every data set: a number of trials, or a total."""

    model_config = FROZEN

    unit: Literal["epochs", "device_seconds"] = "epochs"
    per_trial: Positive = 20
    trials: Count | None = None
    """Trials of each family on each data set; a grid needs none."""
    total: Positive | None = None
    """Instead of `trials`, what they may take in all, in the unit: pruned trials make room for
    others, failed ones count in full."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.unit == "epochs" and not float(self.per_trial).is_integer():
            raise ValueError("per_trial counts epochs: a whole number is expected")
        if self.trials is not None and self.total is not None:
            raise ValueError("trials and total: one of them is allowed")
        if self.total is not None and self.total < self.per_trial:
            raise ValueError(f"total = {self.total:g} does not pay for one trial of per_trial")
        return self

    @property
    def words(self) -> str:
        """The budget as a table's title has it."""
        unit = self.unit.replace("_", "-")
        if self.total is not None:
            return f"{self.total:g} {unit} for each family and data set, {self.per_trial:g} a trial"
        number = "every point of the grid" if self.trials is None else f"{self.trials} trials"
        return f"{number} for each family and data set, {self.per_trial:g} {unit} a trial"


class Constraints(BaseModel):
    """What a configuration must keep to, or it never wins however good its likelihood."""

    model_config = FROZEN

    inversion_error: Positive | None = None
    """Largest coordinate error of decode(encode(x)) on validation data, in flow coordinates."""
    memory_gib: Positive | None = None
    """Peak memory of a rank: on its GPU; on a CPU of its process, the libraries included."""
    milliseconds_per_sample: Positive | None = None
    """Time a sample in batches of 64, timed roughly, beside other trials."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: limit for name, limit in self.model_dump().items() if limit is not None}


class StopHopeless(BaseModel):
    """When a family's search ends early, on a data set."""

    model_config = FROZEN

    after: Count
    """Finished trials that each family has in any case."""
    behind: Positive
    """Bits/dim by which its best is behind the best of any family."""


class Confirm(BaseModel):
    """Runs of the best configuration with fresh seeds; they alone touch the test split.

    A family with nothing to search is not tuned on a grid: these are its only runs.
    """

    model_config = FROZEN

    seeds: Annotated[int, Field(ge=0)] = 5
    protocol: Protocol = "quick"
    """`full` measures these runs, and the speed of those that stand for their cell, in full."""
