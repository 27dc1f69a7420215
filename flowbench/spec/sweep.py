"""The specification of one sweep: which families on which data, searched how; no torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from flowbench.errors import InputError
from flowbench.spec.distributions import Distribution
from flowbench.spec.keys import check_key, check_section, ordered
from flowbench.spec.run import (
    FROZEN,
    Count,
    DataSpec,
    EvaluationSpec,
    FamilySpec,
    Positive,
    RunSpec,
    TrainingSpec,
)
from flowbench.spec.search import (
    Budget,
    Confirm,
    Constraints,
    FamilySearch,
    Objective,
    Pruner,
    Sampler,
    StopHopeless,
)
from flowbench.spec.validation import validated

Engine = Literal["local", "ray", "slurm"]
"""Where trials run: on this machine, on a Ray cluster, as Slurm jobs."""


class Resources(BaseModel):
    """What runs at once, where, and within which limits."""

    model_config = FROZEN

    engine: Engine = "local"
    slots: Count = 1
    """Trials that run side by side."""
    devices_per_trial: Count = 1
    """Ranks of a trial, in all, each on a device of its own."""
    nodes_per_trial: Count = 1
    """Machines that a trial's ranks are spread over, evenly."""
    retries: Annotated[int, Field(ge=0)] = 2
    """New attempts at a trial whose process was lost."""
    hang_seconds: Positive | None = 1800
    """Time without a step, a validated batch or a new stage after which a trial hangs."""
    trial_seconds: Positive | None = None
    """Time that an attempt may take, whatever it does; null sets no limit."""
    memory_gib: Positive | None = None
    """What each rank may allocate on a CPU; null sets no limit."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.devices_per_trial % self.nodes_per_trial:
            raise ValueError(
                f"devices_per_trial = {self.devices_per_trial} cannot be spread evenly over"
                f" nodes_per_trial = {self.nodes_per_trial}"
            )
        if self.nodes_per_trial > 1 and self.engine == "local":
            raise ValueError(
                "nodes_per_trial: engine = 'local' is one machine; allowed: ray, slurm"
            )
        return self


class SweepSpec(BaseModel):
    """A sweep: everything that decides its trials."""

    model_config = FROZEN

    name: str
    data: Annotated[tuple[DataSpec, ...], Field(min_length=1)]
    families: Annotated[dict[str, FamilySearch], Field(min_length=1)]
    search: dict[str, Distribution] = {}
    """Keys searched for every family, such as `training.learning_rate`."""
    training: TrainingSpec = TrainingSpec()
    """Common to all trials, where it is not searched."""
    evaluation: EvaluationSpec = EvaluationSpec()
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"
    objectives: tuple[Objective, ...] = ("bits_per_dim",)
    """With `sampling_time` beside it the search looks for the best of both; the best likelihood is
    confirmed all the same."""
    constraints: Constraints = Constraints()
    budget: Budget
    warm_start: str | None = None
    """An earlier sweep, whose best configurations are tried first where they fit this one."""
    stop_hopeless: StopHopeless | None = None
    """Null searches every family to the end."""
    confirm: Confirm = Confirm()
    resources: Resources = Resources()
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides the sampler and the seeds of the models."""
    data_seed: Annotated[int, Field(ge=0)] = 0
    """Decides the splits."""

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError("letters, digits, - and _ are allowed")
        return name

    @field_validator("data", mode="before")
    @classmethod
    def _names(cls, raw: Any) -> Any:
        if not isinstance(raw, list | tuple):
            raise ValueError("a list of data sets is expected, such as [{name: digits}]")
        return [{"name": entry} if isinstance(entry, str) else entry for entry in raw]

    @field_validator("families", mode="before")
    @classmethod
    def _bare(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {name: {} if search is None else search for name, search in raw.items()}

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for section in (self.training, self.evaluation):
            check_section(section)
        for family in self.families:
            space = self.space(family)
            fixed = self.families[family].fixed
            for key in [*space, *fixed]:
                check_key(key, f"families.{family}" if key not in self.search else "search")
            both = set(fixed) & set(self.families[family].search)
            if both:
                raise ValueError(f"families.{family}: {min(both)} is both searched and fixed")
            ordered(space, set(fixed), family)
            if self.sampler == "grid":
                for key, distribution in space.items():
                    if distribution.grid() is None:
                        raise ValueError(
                            f"sampler = 'grid': {key} is {distribution.kind}; a grid takes choice"
                            " or int"
                        )
        self._check_search()
        return self

    def _check_search(self) -> None:
        """Refuse what cannot be searched together."""
        budget = self.budget
        if self.sampler != "grid" and budget.trials is None and budget.total is None:
            raise ValueError(
                "budget.trials: missing; only a grid knows it by itself (budget.total is the other"
                " way to say it)"
            )
        if self.objectives not in ALLOWED_OBJECTIVES:
            raise ValueError(
                f"objectives = {list(self.objectives)}: allowed: [bits_per_dim] or [bits_per_dim,"
                " sampling_time]"
            )
        if len(self.objectives) > 1 and self.pruner != "none":
            raise ValueError(
                f"pruner = {self.pruner!r}: trials with several objectives cannot be pruned;"
                " allowed: none"
            )
        if self.sampler == "grid":
            if budget.total is not None:
                raise ValueError("budget.total: a grid is counted in budget.trials")
            if self.warm_start is not None:
                raise ValueError("warm_start: sampler = 'grid' tries every configuration by itself")
        if self.warm_start == self.name:
            raise ValueError(f"warm_start = {self.name!r}: an earlier sweep is expected")
        if self.stop_hopeless is not None and len(self.families) == 1:
            raise ValueError("stop_hopeless: one family has no other to be behind")

    @property
    def hash(self) -> str:
        """Digits of the SHA-256 of everything that decides the trials; where they run does not."""
        free = set(Resources.model_fields) - {"devices_per_trial", "trial_seconds", "memory_gib"}
        decides = self.model_dump(mode="json", exclude={"resources": free})
        text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def times_sampling(self) -> bool:
        """Whether tuning trials must time how they sample."""
        limited = self.constraints.milliseconds_per_sample is not None
        return limited or "sampling_time" in self.objectives

    @property
    def tune_seed(self) -> int:
        """The model seed of every tuning trial: they differ by their configuration alone."""
        return self.seed * SEEDS_APART

    def confirm_seed(self, number: int) -> int:
        """Return the fresh model seed of a confirming run, counted from zero."""
        return self.seed * SEEDS_APART + 1 + number

    @property
    def data_labels(self) -> dict[str, DataSpec]:
        """The data sets by names that are fit for file names, each different."""
        labels: dict[str, DataSpec] = {}
        for data in self.data:
            stem = data.name or PurePath(data.path or data.train or "").stem
            label = slug(stem)
            number = sum(other == label or other.startswith(f"{label}~") for other in labels)
            labels[f"{label}~{number + 1}" if number else label] = data
        return labels

    def space(self, family: str) -> dict[str, Distribution]:
        """Return the keys searched for a family: a parent before the keys that depend on it."""
        own = self.families[family]
        merged = {key: value for key, value in self.search.items() if key not in own.fixed}
        merged |= own.search
        return ordered(merged, set(own.fixed), family)

    def run_spec(
        self,
        family: str,
        data: DataSpec,
        values: Mapping[str, Any],
        *,
        model_seed: int,
        split: Literal["validation", "test"],
    ) -> RunSpec:
        """Build one run: the common values, the family's fixed ones, then what was searched.

        Raises:
            InputError: if a value is out of range.
        """
        sections: dict[str, dict[str, Any]] = {
            "family": {"name": family},
            "training": self.training.model_dump(mode="json"),
        }
        for key, value in {**self.families[family].fixed, **values}.items():
            section, _, name = key.partition(".")
            sections[section][name] = list(value) if isinstance(value, tuple) else value
        devices = self.resources.devices_per_trial
        per_trial = self.budget.per_trial
        sections["training"] |= {"devices": devices, "max_steps": None} | (
            {"max_epochs": int(per_trial), "max_seconds": None}
            if self.budget.unit == "epochs"
            else {"max_epochs": ENDLESS, "max_seconds": per_trial / devices}
        )
        where = {"": f"sweep {self.name}, family {family}"}
        tuning = split == "validation"
        return RunSpec(
            family=validated(FamilySpec, sections["family"], "family", where),
            data=data,
            training=validated(TrainingSpec, sections["training"], "training", where),
            evaluation=self.evaluation.model_copy(
                update={
                    "split": split,
                    "protocol": "quick" if tuning else self.confirm.protocol,
                    # What is reported is measured; a search needs no more than it is judged by.
                    "importance_draws": None if tuning else self.evaluation.importance_draws,
                    "speed": False,
                    "rough_speed": tuning and self.times_sampling,
                }
            ),
            data_seed=self.data_seed,
            model_seed=model_seed,
        )


ALLOWED_OBJECTIVES: tuple[tuple[Objective, ...], ...] = (
    ("bits_per_dim",),
    ("bits_per_dim", "sampling_time"),
)

SEEDS_APART = 1000
"""Model seeds between those of two sweep seeds."""

ENDLESS = 1_000_000
"""Epochs of a run that its seconds end."""


def slug(text: str) -> str:
    """Return `text` with only letters, digits, `-` and `_`: a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "data"


def read_sweep(values: Mapping[str, Any], where: Mapping[str, str] | None = None) -> SweepSpec:
    """Validate what a sweep file says.

    Raises:
        InputError: for the first mistake, naming the file and the key.
    """
    known = dict(where or {})
    # What concerns the whole is said of the file that comes first.
    known.setdefault("", next(iter(known.values()), "sweep"))
    if not values.get("families"):
        raise InputError(f"{known['']}: no section `families`; name at least one")
    return validated(SweepSpec, values, where=known)
