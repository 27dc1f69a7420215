"""Families by name: one line each."""

import inspect
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard

from torch import nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.errors import InputError
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.families.glow import Glow
from flowbench.families.nice import NICE
from flowbench.families.planar import Planar
from flowbench.families.realnvp import RealNVP
from flowbench.families.residual import Residual
from flowbench.families.schema import Constructor, resolve
from flowbench.families.sylvester import Sylvester

FAMILIES: dict[str, type[Flow]] = {
    "nice": NICE,
    "realnvp": RealNVP,
    "glow": Glow,
    "planar": Planar,
    "sylvester": Sylvester,
    "residual": Residual,
}


def family_class(name: str) -> Constructor:
    """Return a registered family, or the class or function that ``package.module:Class`` names.

    Raises:
        InputError: if there is no such family, module, class or function.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon):
        known = ", ".join(FAMILIES)
        raise InputError(f"family.name = {name!r}: allowed: {known}, or package.module:Class")
    # The installed program starts without the working directory on its path, where users' code is.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found: Any = getattr(import_module(module_name), class_name, None)
    except InputError as error:
        raise InputError(f"family.name = {name!r}: {error}") from None
    except Exception as error:  # a user's module may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"family.name = {name!r}: cannot import {module_name}: {reason}") from None
    makes_modules = inspect.isclass(found) and issubclass(found, nn.Module)
    if not (makes_modules or inspect.isfunction(found)):
        raise InputError(
            f"family.name = {name!r}: {module_name} has no nn.Module {class_name}, "
            "nor a function that makes one"
        )
    family: Constructor = found
    return family


def is_flow(family: Constructor) -> TypeGuard[type[Flow]]:
    """Whether a family is a `Flow` itself, with nothing to be wrapped."""
    return inspect.isclass(family) and issubclass(family, Flow)


def create(
    name: str,
    event_shape: tuple[int, ...],
    *,
    preprocess: Bijection | PreprocessSteps | None = None,
    context_size: int = 0,
    **hyperparameters: Any,
) -> Flow:
    """Build a flow by its family's name.

    Args:
        name: a registered name or ``package.module:Class``, which may name a function that makes
            a flow too; what is no `Flow` is wrapped as a `ForeignFlow`.
        event_shape: ``(D,)`` or ``(C, H, W)``.
        preprocess: see `Flow`; None gives the bare flow on continuous values.
        context_size: number of context features.
        hyperparameters: the family's own keyword arguments.

    Raises:
        InputError: for an unknown family, an unknown key or a value out of range.
    """
    family = family_class(name)
    values = resolve(family, hyperparameters)
    build = family if is_flow(family) else partial(ForeignFlow, family)
    flow: Flow = build(event_shape, preprocess=preprocess, context_size=context_size, **values)
    flow.family_name, flow.hyperparameters = name, values
    return flow
