"""What `flowbench families` lists: each family's paper and hyperparameters."""

import inspect
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
                    range=_range(field.metadata, field.annotation),
                    default=field.default,
                )
                for key, field in hyperparameter_model(family).model_fields.items()
            ],
        )
        for name, family in FAMILIES.items()
    ]


def _type(annotation: Any) -> str:
    """Return `int`, `float or null`, `"half" | "parity"`, ... for an annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if annotation is NoneType:
        return "null"
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return getattr(annotation, "__name__", str(annotation))


def _range(metadata: list[Any], annotation: Any) -> str:
    """Return `1 <= x <= 64` in words from pydantic's or annotated-types' constraints."""
    words = []
    for constraint in metadata:
        for sign, attribute in ((">=", "ge"), (">", "gt"), ("<=", "le"), ("<", "lt")):
            bound = getattr(constraint, attribute, None)
            if bound is not None:
                words.append(f"{sign} {bound:g}")
    for argument in get_args(annotation):
        if get_origin(argument) is Annotated:
            inner = get_args(argument)
            for constraint in inner[1:]:
                words += _range(list(getattr(constraint, "metadata", [constraint])), None).split(
                    ", "
                )
    return ", ".join(word for word in words if word)
