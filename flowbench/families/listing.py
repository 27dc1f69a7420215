"""What `flowbench families` lists: each family's paper and hyperparameters."""

import inspect
import json
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from flowbench.families.registry import FAMILIES
from flowbench.families.schema import hyperparameter_model


class Hyperparameter(BaseModel):
    """One key of a family: its type, range and default in words."""

    name: str
    type: str
    range: str
    default: Any

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Name, type, range and default, the last as a configuration file writes it."""
        return self.name, self.type, self.range, json.dumps(self.default).strip('"')


class FamilyListing(BaseModel):
    """One family."""

    name: str
    summary: str
    paper: str
    hyperparameters: list[Hyperparameter]


def list_families() -> list[FamilyListing]:
    """Return every registered family, in the registry's order."""
    return [
        FamilyListing(
            name=name,
            summary=(inspect.getdoc(family) or "").partition("\n")[0],
            paper=family.paper,
            hyperparameters=[
                Hyperparameter(
                    name=key,
                    type=_type(field.annotation),
                    range=_range(field.annotation, field.metadata),
                    default=field.default,
                )
                for key, field in hyperparameter_model(family).model_fields.items()
            ],
        )
        for name, family in FAMILIES.items()
    ]


def _type(annotation: Any) -> str:
    """Return `int`, `half | parity | null`, `list of int`, ... for an annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " | ".join(_type(argument) for argument in arguments)
    if annotation is NoneType:
        return "null"
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return getattr(annotation, "__name__", str(annotation))


def _range(annotation: Any, constraints: Sequence[Any] = ()) -> str:
    """Return `1 <= x <= 64`, `1 to 16 items, 1 <= x <= 8192`, ... or nothing for no limits."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [each for info in arguments[1:] for each in getattr(info, "metadata", [info])]
        return _range(arguments[0], [*constraints, *inner])
    if origin in (Union, UnionType):
        return "".join(_range(argument, constraints) for argument in arguments)
    found = {
        name: getattr(constraint, name)
        for constraint in constraints
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(constraint, name, None) is not None
    }
    if origin is tuple:
        count = f"{found.get('min_length', 0)} to {found.get('max_length', 'any number')} items"
        each = _range(arguments[0])
        return f"{count}, {each}" if each else count
    low = {"ge": "<=", "gt": "<"}
    high = {"le": "<=", "lt": "<"}
    left = "".join(f"{found[name]:g} {sign} " for name, sign in low.items() if name in found)
    right = "".join(f" {sign} {found[name]:g}" for name, sign in high.items() if name in found)
    return f"{left}x{right}" if left or right else ""
