"""Coupling layers: one part of the event moves, by an amount that the other part decides."""

from collections.abc import Sequence
from math import log
from typing import Literal, cast

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.precision import widened
from flowbench.bijections.reversible import BackwardPass
from flowbench.bijections.splits import Split
from flowbench.networks.conv import ConvNet
from flowbench.networks.mlp import MLP
from flowbench.networks.resnet import ResidualConvNet, ResidualMLP
from flowbench.numerics.bounded import soft_bound

CouplingKind = Literal["additive", "affine"]
ConditionerKind = Literal["plain", "residual"]
Conditioner = MLP | ConvNet | ResidualMLP | ResidualConvNet
LogScales = list[Tensor | None]
"""Sums over the couplings that move the first part, and over those that move the second; to base 2,
for torch's exp2 takes a third of the time of its exp on a CPU."""

LN_2 = log(2)

ADDITIVE_START = 0.1
"""Factor on the initial weights of an additive coupling's last layer. With zeros it would sit on
a saddle wherever the moved part has zero mean given the other, as in symmetric data."""


class PartwiseBijection(Bijection):
    """Couplings over one division of the event, which is made once and joined once.

    Log-scales of one part are added up coordinate by coordinate, and summed over the event once;
    a map without its log-determinant adds up nothing.
    """

    split: Split

    @property
    def sequence(self) -> list["Coupling"]:
        """The couplings, from data to base; their splits differ in `swap` alone."""
        raise NotImplementedError

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_scales = self._run(x, context, decoding=False)
        return z, _summed(x, log_scales)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_scales = self._run(z, context, decoding=True)
        return x, -_summed(z, log_scales)

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._run(x, context, decoding=False)[0]

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._run(z, context, decoding=True)[0]

    def _run(
        self, x: Tensor, context: Tensor | None, *, decoding: bool
    ) -> tuple[Tensor, LogScales]:
        """Return the mapped event, and the log-scales of encoding of each part."""
        if not self.takes_context:
            self.refuse_context(context)
        parts = list(self.split.parts(x))
        log_scales: LogScales = [None, None]
        for coupling in reversed(self.sequence) if decoding else self.sequence:
            move = coupling.decode_part if decoding else coupling.encode_part
            i = coupling.split.moved
            parts[i], log_scale = move(parts[i], parts[1 - i], context)
            if log_scale is not None:
                before = log_scales[i]
                log_scales[i] = log_scale if before is None else before + log_scale
        return self.split.join(*parts), log_scales

    def pull_back(self, at: BackwardPass, context: Tensor | None, note: Tensor | None) -> None:
        parts, grads = list(self.split.parts(at.z)), list(self.split.parts(at.grad))
        grad_log_det = at.grad_log_det.reshape(-1, *[1] * (parts[0].dim() - 1))
        for coupling in reversed(self.sequence):
            i = coupling.split.moved
            # The copied part is in z as it was in x: one run of the conditioner serves both ways.
            copied = parts[1 - i].detach().requires_grad_()
            with at.graph():
                log_scale, shift = coupling.amounts(copied, context)
            outputs = [(shift, grads[i])]
            parts[i] = _moved_back(parts[i], log_scale, shift).detach()
            if log_scale is not None:
                grads[i] = grads[i] * log_scale.detach().exp2()
                grad_log_scale = torch.addcmul(grad_log_det, grads[i], parts[i])
                outputs.append((log_scale, LN_2 * grad_log_scale))
            grads[1 - i] = grads[1 - i] + at.pull(outputs, copied, coupling, context)
        at.move(self.split.join(*parts), self.split.join(*grads))


def _summed(x: Tensor, log_scales: LogScales) -> Tensor:
    """Sum each part's log-scales over the event, ``(N,)``, to base e."""
    sums = [each.flatten(1).sum(1) for each in log_scales if each is not None]
    return LN_2 * sum(sums[1:], sums[0]) if sums else x.new_zeros(len(x))


class Coupling(PartwiseBijection):
    """A layer that copies one part of the event and moves the other.

    Args:
        split: which part moves.
        conditioner: see `make_conditioner`.
    """

    def __init__(self, split: Split, conditioner: Conditioner) -> None:
        super().__init__()
        self.split = split
        self.conditioner = conditioner
        self.takes_context = conditioner.context_size > 0

    @property
    def sequence(self) -> list["Coupling"]:
        return [self]

    def amounts(self, copied: Tensor, context: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Return the log-scales to base 2, None for none, and the shifts of the moved part."""
        raise NotImplementedError

    def encode_part(
        self, moved: Tensor, copied: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the moved part's latent and its log-scales, shaped alike; None for no scales."""
        log_scale, shift = self.amounts(copied, context)
        return _moved(moved, log_scale, shift), log_scale

    def decode_part(
        self, moved: Tensor, copied: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Undo `encode_part`; return the part and the log-scales of its encoding."""
        log_scale, shift = self.amounts(copied, context)
        return _moved_back(moved, log_scale, shift), log_scale


def _moved(x: Tensor, log_scale: Tensor | None, shift: Tensor) -> Tensor:
    if log_scale is None:
        return x + shift
    return torch.addcmul(shift, x, log_scale.exp2())


def _moved_back(z: Tensor, log_scale: Tensor | None, shift: Tensor) -> Tensor:
    if log_scale is None:
        return z - shift
    return (z - shift) / log_scale.exp2()


class CouplingStack(PartwiseBijection):
    """Couplings one after the other on two tensors, without joining them in between.

    Args:
        couplings: at least one; their splits differ in `swap` alone, and all or none of them take
            a context.
    """

    def __init__(self, couplings: Sequence[Coupling]) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(couplings)
        self.split = couplings[0].split
        self.takes_context = couplings[0].takes_context

    @property
    def sequence(self) -> list[Coupling]:
        return cast("list[Coupling]", list(self.couplings))


class AdditiveCoupling(Coupling):
    r""":math:`z_2 = x_2 + t(x_1)`; the formula is `encode`.

    Source: Dinh et al. 2014, "NICE", section 3.2. Its volume is constant.
    """

    def amounts(self, copied: Tensor, context: Tensor | None) -> tuple[None, Tensor]:
        return None, widened(self.conditioner(copied, context))


class AffineCoupling(Coupling):
    r""":math:`z_2 = x_2\, e^{s(x_1)} + t(x_1)`, :math:`s = c \tanh(u(x_1)/c)`; it is `encode`.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", equation 8; the bound keeps a
    layer's slope within :math:`e^{\pm c}` and its gradient alive, where a clamp would not.

    Args:
        split: which part moves.
        conditioner: gives u and t.
        scale_bound: c.
    """

    def __init__(self, split: Split, conditioner: Conditioner, scale_bound: float = 2.0) -> None:
        super().__init__(split, conditioner)
        self.scale_bound = scale_bound

    def amounts(self, copied: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # Under autocast the network runs in half precision; what it decides is used in float32.
        raw, shift = widened(self.conditioner(copied, context)).chunk(2, 1)
        return soft_bound(raw, self.scale_bound, LN_2), shift


def make_conditioner(
    split: Split,
    parameters: int,
    hidden: Sequence[int],
    *,
    kind: ConditionerKind = "plain",
    context_size: int = 0,
    dropout: float = 0.0,
    last_scale: float = 0.0,
) -> Conditioner:
    """Return a network from the copied part to `parameters` numbers a moved coordinate.

    It is convolutional where the parts are images of one size, else fully connected.

    Args:
        split: the coupling's.
        parameters: 1 for additive, 2 for affine couplings.
        hidden: widths of the hidden layers, or of the residual blocks.
        kind: of the network.
        context_size: number of context features.
        dropout: see the networks.
        last_scale: see the networks.
    """
    moved = split.shapes[split.moved]
    copied = split.shapes[1 - split.moved]
    networks: dict[ConditionerKind, tuple[type[Conditioner], type[Conditioner]]] = {
        "plain": (MLP, ConvNet),
        "residual": (ResidualMLP, ResidualConvNet),
    }
    return networks[kind][len(moved) == 3](
        copied[0],
        parameters * moved[0],
        hidden,
        context_size=context_size,
        dropout=dropout,
        last_scale=last_scale,
    )


def make_coupling(
    kind: CouplingKind,
    split: Split,
    hidden: Sequence[int],
    *,
    conditioner: ConditionerKind = "plain",
    scale_bound: float = 2.0,
    context_size: int = 0,
    dropout: float = 0.0,
) -> Coupling:
    """Return a coupling with a conditioner of its own, near the identity at the start."""
    additive = kind == "additive"
    network = make_conditioner(
        split,
        1 if additive else 2,
        hidden,
        kind=conditioner,
        context_size=context_size,
        dropout=dropout,
        last_scale=ADDITIVE_START if additive else 0.0,
    )
    if additive:
        return AdditiveCoupling(split, network)
    return AffineCoupling(split, network, scale_bound)
