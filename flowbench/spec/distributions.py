"""One searched key of a sweep: the values it may take, and when it is there at all."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, model_validator

from flowbench.spec.run import FROZEN

Kind = Literal["choice", "int", "uniform", "log", "log_gap_to_one"]
KINDS: tuple[Kind, ...] = ("choice", "int", "uniform", "log", "log_gap_to_one")

ROUNDING = 1e-12


class Distribution(BaseModel):
    """The values of one key.

    Written in a sweep file as `[a, b, c]` (a choice), `{choice: [...]}`, `{int: [low, high]}`,
    `{uniform: [low, high]}` (or `float`), `{log: [low, high]}` (uniform in the logarithm) or
    `{log_gap_to_one: [low, high]}` (uniform in the logarithm of one minus the value), each with an
    optional `when: {other key: value or list of values}`.
    """

    model_config = FROZEN

    kind: Kind
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    when: dict[str, tuple[Any, ...]] = {}
    """The key is there only where each of these other keys has one of these values."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any) -> Any:
        if isinstance(raw, list):
            raw = {"choice": raw}
        if not isinstance(raw, Mapping):
            raise ValueError(f"a list of choices or one of {', '.join(KINDS)} is expected")
        if "kind" in raw:
            return raw
        named = [key for key in raw if key != "when"]
        kind = named[0] if len(named) == 1 else None
        kind = "uniform" if kind == "float" else kind
        if kind not in KINDS:
            raise ValueError(f"exactly one of {', '.join(KINDS)} is expected, and at most `when`")
        value = raw[named[0]]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{named[0]} takes a list")
        when = {
            key: tuple(values) if isinstance(values, list | tuple) else (values,)
            for key, values in (raw.get("when") or {}).items()
        }
        if kind == "choice":
            return {"kind": kind, "choices": value, "when": when}
        if len(value) != 2:
            raise ValueError(f"{named[0]} takes two numbers, [low, high]")
        return {"kind": kind, "low": value[0], "high": value[1], "when": when}

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.kind == "choice":
            if not self.choices:
                raise ValueError("choice takes at least one value")
            return self
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.kind} needs low < high, both finite")
        if self.kind == "int" and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("int needs whole numbers")
        if self.kind == "log" and self.low <= 0:
            raise ValueError("log needs low > 0")
        if self.kind == "log_gap_to_one" and self.high >= 1:
            raise ValueError("log_gap_to_one needs high < 1")
        return self

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Say whether the key is there, given the values of the keys before it."""
        return all(key in values and values[key] in allowed for key, allowed in self.when.items())

    def holds(self, value: Any) -> bool:
        """Say whether the key may have this value."""
        if self.kind == "choice":
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        whole = self.kind != "int" or float(value).is_integer()
        # One minus a gap to one is a rounding error away from its bound.
        return whole and self.low - ROUNDING <= value <= self.high + ROUNDING

    def grid(self) -> list[Any] | None:
        """Return every value, or None where they are a continuum."""
        if self.kind == "choice":
            return list(self.choices)
        if self.kind == "int":
            return list(range(int(self.low), int(self.high) + 1))
        return None
