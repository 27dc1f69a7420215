"""A family's constructor signature, read as its configuration schema."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from flowbench.spec.validation import input_error

Constructor = Callable[..., nn.Module]
"""A family: a class, or a user's function that makes a module."""

RESERVED = ("self", "event_shape", "preprocess", "context_size")
"""Constructor arguments that describe the data, not the model."""


def constructor(family: Constructor) -> Callable[..., object]:
    """Return what takes a family's arguments: a class's `__init__`, or the function itself."""
    return family.__init__ if inspect.isclass(family) else family


def hyperparameter_model(family: Constructor) -> type[BaseModel]:
    """Return a pydantic model with a field for each hyperparameter of a family's constructor.

    Ranges come from `Annotated` fields; an argument without annotation takes any value.
    """
    signature = inspect.signature(constructor(family))
    hints = get_type_hints(constructor(family), include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in RESERVED or variadic:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, arbitrary_types_allowed=True
    )
    return create_model(f"{family.__name__}Hyperparameters", __config__=config, **fields)


def resolve(
    family: Constructor, given: dict[str, Any], where: dict[str, str] | None = None
) -> dict[str, Any]:
    """Validate `given` against the signature and fill in the defaults.

    Args:
        family: the class or function.
        given: the keys of a spec's `family` section, without its name.
        where: for each dotted key the file or override it came from, for the error's sentence.

    Raises:
        InputError: for an unknown key, a wrong type or a value out of range.
    """
    try:
        model = hyperparameter_model(family)(**given)
    except ValidationError as error:
        raise input_error(error, hyperparameter_model(family), "family", where) from None
    return {name: getattr(model, name) for name in type(model).model_fields}
