"""The specification of one run: validated, frozen, hashable; no torch."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from flowbench.spec.vocabulary import Protocol

FROZEN = ConfigDict(extra="forbid", frozen=True)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _as_column(value: object) -> object:
    """Take a number for a name: the columns of a file without a header are 0, 1, 2, ..."""
    return str(value) if type(value) is int else value


Column = Annotated[str, BeforeValidator(_as_column)]


class FamilySpec(BaseModel):
    """Which family; its other keys are its constructor's, resolved where torch may be imported."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The family's own keys."""
        return dict(self.model_extra or {})


class DataSpec(BaseModel):
    """Which data, split and prepared how; all of it is part of the protocol."""

    model_config = FROZEN

    name: str | None = None
    """A data set known by name; exactly one of `name`, `path` and `train` is given."""
    path: str | None = None
    """A user's file or image folder, split by `data_seed`."""
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    """A user's own three files, instead of `path`."""
    train_size: Annotated[float, Field(gt=0)] | None = None
    """A nested share of the training split: a fraction below or at 1, else a number of rows."""
    preprocess: list[dict[str, Any]] | None = None
    """Steps as `{name: logit, lam: 0.01}`; None is the data set's own default."""
    dequantise: list[Column] | bool | None = None
    """Columns of a table that are integers (true: all); images are dequantised always."""
    context: list[Column] = []
    """Columns that condition the density."""
    label: Column | None = None
    """A column that is a label, neither modelled nor conditioned on."""
    group: Column | None = None
    """A column whose equal values stay in one split."""
    key: str | None = None
    """The array of an `.npz` with several."""
    drop_rows: bool = False
    """Drop rows with NaN or infinity instead of refusing the file."""
    drop_columns: list[Column] = []
    """Columns to leave out (constant or textual ones are refused otherwise)."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("name", "path", "train") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of data.name, data.path, data.train; given: {given}"
            )
        if self.train is not None and None in (self.validation, self.test):
            raise ValueError("data.train needs data.validation and data.test beside it")
        return self


class TrainingSpec(BaseModel):
    """How a model is fitted."""

    model_config = FROZEN

    max_epochs: Count = 20
    max_steps: Count | None = None
    max_seconds: Positive | None = None
    batch_size: Count = 256
    """The global batch: under DDP each rank takes its share."""
    optimizer: Literal["adam", "adamax"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    schedule: Literal["cosine", "constant"] = "cosine"
    gradient_clip: Positive | None = 5.0
    """Largest norm of the gradient; null switches clipping off."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights; 0 switches it off."""
    patience: Count | None = None
    """Validations without improvement before training stops; null never stops early."""
    validate_every: Count = 1
    """Epochs between validations."""
    precision: Literal["32", "64", "bf16", "16"] = "32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Count = 1
    backend: Literal["auto", "nccl", "gloo"] = "auto"
    """How ranks talk: auto is NCCL on GPUs and gloo on CPUs, and nothing where there is one rank; a
    named one takes that through DDP too. Ranks that talk by gloo may share a GPU."""
    compile: bool = False
    """Take steps by torch.compile: the first takes a minute, each after it less than uncompiled."""
    reversible: bool = False
    """Compute activations again from outputs instead of keeping them: memory flat in depth."""
    threads: Count | None = None
    """CPU threads of each rank; null leaves torch's choice."""

    @property
    def distributed(self) -> bool:
        """Whether the training goes through DDP."""
        return self.devices > 1 or self.backend != "auto"

    @field_validator("precision", mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value


class EvaluationSpec(BaseModel):
    """How a fitted model is measured."""

    model_config = FROZEN

    protocol: Protocol = "quick"
    """`full` measures all there is: out-of-distribution inputs, float64, Jacobians, costs, samples;
    minutes of an iterative flow. Numbers of the two protocols are never ranked together."""
    split: Literal["validation", "test"] = "validation"
    draws: Count = 1
    """Dequantization draws averaged."""
    importance_draws: Annotated[int, Field(ge=2)] | None = None
    """Dequantization draws of an importance-weighted likelihood beside it; null leaves it out."""
    batch_size: Count = 1024
    inversion_points: Count = 1024
    speed: bool = True
    """Measure sampling speed; off inside sweeps, where it is a stage of its own."""
    rough_speed: bool = False
    """Time sampling roughly, beside whatever else runs: for a search's own use, never ranked."""
    speed_batches: tuple[Count, ...] = (1, 64, 1024)
    samples: Count = 64
    """Samples kept to look at."""


class RunSpec(BaseModel):
    """One run: everything that decides its result."""

    model_config = FROZEN

    family: FamilySpec
    data: DataSpec
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    data_seed: Annotated[int, Field(ge=0)] = 0
    """Decides the split and generated data."""
    model_seed: Annotated[int, Field(ge=0)] = 0
    """Decides everything else that is random."""

    def canonical(self) -> str:
        """Return the specification as JSON with sorted keys."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of `canonical`."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]
