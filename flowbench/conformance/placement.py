"""Telling, on any machine, whether tensors are made on the device of the input."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FACTORIES = {
    torch.arange,
    torch.empty,
    torch.eye,
    torch.full,
    torch.linspace,
    torch.ones,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.randperm,
    torch.tensor,
    torch.tril_indices,
    torch.triu_indices,
    torch.zeros,
}

ACROSS_DEVICES = {Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__}
"""What torch allows between tensors on different devices (of an index, at least)."""


class AnotherDefaultDevice(TorchFunctionMode):
    """Act as if torch's default device were another than the input's, as it is beside a GPU.

    What is made without a device is marked. Marked tensors may be computed with among themselves
    and moved by `to`; together with others they raise, as on different devices they would. Only
    tensors without dimensions go with all, as torch has it for those on the CPU.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in FACTORIES:
            if kwargs.get("device") is None:
                _mark(result)
            return result
        given = [tensor for tensor in _tensors((args, kwargs)) if tensor.dim()]
        marked = [tensor for tensor in given if is_marked(tensor)]
        if not marked or func in ACROSS_DEVICES:
            return result
        if func is Tensor.to and _names_a_place(args[1:], kwargs):
            return result
        if len(marked) < len(given):
            name = getattr(func, "__name__", str(func))
            raise RuntimeError(f"{name}: a tensor on the default device, not on the input's")
        for tensor in _tensors(result):
            _mark(tensor)
        return result


def is_marked(tensor: Tensor) -> bool:
    """Whether a tensor was made on the default device, or comes from one that was."""
    return getattr(tensor, "_on_default_device", False)


def _mark(tensor: Tensor) -> None:
    tensor._on_default_device = True  # type: ignore[attr-defined]


def _names_a_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    places = (torch.device, str, Tensor)
    return any(isinstance(each, places) for each in (*args, *kwargs.values()))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
