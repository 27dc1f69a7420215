"""The outline of a family that works on vectors and, level by level, on images."""

from math import prod

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.multiscale import MakeSteps, MakeTop, Multiscale, most_levels
from flowbench.bijections.reshape import Flatten
from flowbench.bijections.splits import SplitKind
from flowbench.errors import InputError


def by_level(
    event_shape: tuple[int, ...],
    levels: int | None,
    split: SplitKind | None,
    make_steps: MakeSteps,
    make_top: MakeTop | None = None,
) -> Bijection:
    """Return the layers of a coupling family, from events to flat latents.

    Images get the multi-scale skeleton; vectors one level. An image with one channel and an odd
    side has neither phases nor channels to split, and is taken as a vector.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        levels: of images; None for the most that the size allows.
        split: of the couplings, which must fit the event.
        make_steps: see `Multiscale`; its shape is ``(D,)`` on vectors.
        make_top: see `Multiscale`; on vectors it is called for the last level.

    Raises:
        InputError: if levels or split do not fit the event.
    """
    image = len(event_shape) == 3
    unsqueezed = image and most_levels(event_shape) == 0
    if unsqueezed and (split == "checkerboard" or (split == "channel" and event_shape[0] == 1)):
        size = " x ".join(map(str, event_shape[1:]))
        raise InputError(f"split = {split}: images of {size} cannot be squeezed; allowed: parity")
    if image and not (unsqueezed and event_shape[0] == 1):
        return Multiscale(event_shape, levels, make_steps, make_top)
    if levels not in (None, 1):
        raise InputError(f"levels = {levels}: only images of even sides have more than one level")
    shape = (prod(event_shape),)
    layers = [*make_steps(shape, 0), *([make_top(shape, True)] if make_top else [])]
    return Compose([Flatten(event_shape), *layers] if image else layers)
