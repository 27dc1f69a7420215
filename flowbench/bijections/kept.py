"""Computing what depends on parameters alone once, and not at every call."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

Made = TypeVar("Made")
State = Sequence[tuple[Tensor, int, torch.dtype, torch.device]]


class Kept:
    """What a module makes of its parameters, made again only when they have changed.

    Values are kept in eval mode and without gradients; elsewhere they are made at each call, and
    nothing is kept. Parameters that were written to, in place, by loading or by moving the module,
    make values stale. Writes through `.data` and steps of fused optimisers leave no trace in
    torch's versions: such a step follows a call with gradients, and a trainer's `after_step`
    clears too.

    Args:
        module: whose parameters.
    """

    def __init__(self, module: nn.Module) -> None:
        # A list hides the module from its own registry of submodules.
        self._module = [module]
        self._values: dict[str, tuple[State, Any]] = {}

    def get(self, name: str, make: Callable[[], Made]) -> Made:
        """Return ``make()``, from an earlier call of this name where that still holds."""
        if torch.compiler.is_compiling():
            return make()
        module = self._module[0]
        parameters = list(module.parameters())
        unversioned = any(parameter.is_inference() for parameter in parameters)
        if module.training or torch.is_grad_enabled() or unversioned:
            self.clear()
            return make()
        state = [(p, p._version, p.dtype, p.device) for p in parameters]
        kept = self._values.get(name)
        if kept is not None and _same(kept[0], state):
            return cast("Made", kept[1])
        made = make()
        self._values[name] = (state, made)
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def __getstate__(self) -> dict[str, object]:
        # A copy's parameters count their writes from zero: they would pass for unchanged ones.
        return {**vars(self), "_values": {}}


def _same(left: State, right: State) -> bool:
    """Compare states, tensors by identity."""
    pairs = zip(left, right, strict=True)
    return all(a[0] is b[0] and a[1:] == b[1:] for a, b in pairs)
