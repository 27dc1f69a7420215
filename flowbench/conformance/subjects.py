"""What is checked: every registered family, a user's class, a checkpoint."""

from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from flowbench.conformance.case import Subject
from flowbench.conformance.perturb import SCALES
from flowbench.conformance.variants import Configuration, choices, covering, small
from flowbench.errors import InputError
from flowbench.families.checkpoint import load_flow
from flowbench.families.registry import FAMILIES, create, family_class, is_flow

EVENT_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "vectors": ((2,), (3,), (1,)),
    "images": ((1, 4, 4), (2, 4, 4), (1, 5, 5)),
}
"""Small, of even and odd sizes; in two dimensions a density can be summed over a grid."""

CONTEXT_SIZES = (0, 3)


def family_subjects(name: str, kind: str) -> list[Subject]:
    """Return a family's variants on a kind of event, each at every scale of perturbation.

    Args:
        name: registered, or ``package.module:Class``.
        kind: a key of `EVENT_SHAPES`.

    Raises:
        InputError: if there is no such family, or it can be built on none of these events.
    """
    family = family_class(name)
    registered = name in FAMILIES
    # Our keys mean the same in every flow of ours; in a user's class a word may mean anything.
    sizes = small(family) if is_flow(family) else {}

    def build(configuration: Configuration) -> nn.Module:
        return create(name, **{**sizes, **configuration})

    refusals: list[str] = []

    def allowed(configuration: Configuration) -> bool:
        try:
            with torch.random.fork_rng(devices=[]):
                build(configuration)
        except Exception as error:
            # A user's class refuses what it does not know in its own way; ours say a sentence.
            if registered and not isinstance(error, InputError):
                raise
            refusals.append(" ".join(str(error).split()) or type(error).__name__)
            return False
        return True

    shapes = EVENT_SHAPES[kind]
    # Whether a context is taken is asked once, not of every configuration with one.
    contexts = [
        size
        for size in CONTEXT_SIZES
        if any(allowed({"event_shape": shape, "context_size": size}) for shape in shapes)
    ]
    factors = {"event_shape": shapes, "context_size": contexts, **choices(family)}
    configurations = covering(factors, allowed)
    if not configurations:
        raise InputError(f"{name} cannot be built on {kind}: {refusals[0]}")
    return [
        Subject(
            group=f"{name} on {kind}",
            name=", ".join(f"{key} = {value}" for key, value in configuration.items()),
            build=partial(build, configuration),
            event_shape=configuration["event_shape"],
            latent_shape=(prod(configuration["event_shape"]),),
            context_size=configuration["context_size"],
            scale=scale,
            seed=seed,
        )
        for seed, configuration in enumerate(configurations)
        for scale in SCALES
    ]


def checkpoint_subject(
    path: Path, name: str, points: Tensor | None = None, context: Tensor | None = None
) -> Subject:
    """Return a saved flow as a subject, at its trained parameters.

    Args:
        path: of the checkpoint.
        name: what to call it.
        points: held-out data ``(N, *event_shape)``, checked beside the flow's own samples.
        context: ``(N, C)`` of those points.

    Raises:
        InputError: if the file is no checkpoint.
    """
    flow = load_flow(path)
    return Subject(
        group=name,
        name=f"{flow.family_name} at its trained parameters",
        build=partial(load_flow, path),
        event_shape=flow.event_shape,
        latent_shape=(flow.dim,),
        context_size=flow.context_size,
        points=points,
        context=context,
    )
