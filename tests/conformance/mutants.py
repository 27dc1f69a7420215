"""Layers and flows that are wrong in ways that libraries have been, and which checks say so."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log, pi, prod

import torch
from torch import nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.coupling import AffineCoupling, make_conditioner
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.linear import PlainLinear
from flowbench.bijections.permutation import Permutation
from flowbench.bijections.planar import Planar
from flowbench.bijections.residual import ResidualBlock
from flowbench.bijections.splits import Split
from flowbench.bijections.sylvester import TriangularSylvester
from flowbench.conformance.case import Subject
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow
from flowbench.networks.contractive import contractive_mlp

Shape = tuple[int, ...]


class EncodeSign(Diagonal):
    """The log-det of encode has the wrong sign."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        return z, -log_det


class DecodeSign(Diagonal):
    """decode returns the log-det of encode."""

    def decode(self, z, context=None):
        x, log_det = super().decode(z, context)
        return x, -log_det


class MissingTranspose(PlainLinear):
    """The inverse of a rotation is its transpose, but of nothing else."""

    def inverse_weight(self):
        return self.matrix.T


class MisplacedTranspose(TriangularSylvester):
    """The formula of the log-det, beside a map with R-tilde transposed."""

    def encode(self, x, context=None):
        V, W, B = self.factors()
        alpha = x @ W.T + self.b
        return x + self.activation.value(alpha) @ V.T, self.log_det(self.activation.slope(alpha), B)

    def encode_map(self, x, context=None):
        return self.encode(x, context)[0]


class DroppedLogDet(Compose):
    """The log-det of the last layer is left out, in both directions."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        before = Compose(self.sequence[:-1]).encode_map(x)
        return z, log_det - self.sequence[-1].encode(before)[1]

    def decode(self, z, context=None):
        x, log_det = super().decode(z, context)
        return x, log_det - self.sequence[-1].decode(z)[1]


class DoubledLogDet(Planar):
    """decode counts the slope twice."""

    def decode(self, z, context=None):
        x, log_det = super().decode(z, context)
        return x, 2 * log_det


class StopsEarly(Bijection):
    """z = x + tanh(a x) / 2, and an inverse of five iterations that says nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.full((dim,), 0.8))

    def encode(self, x, context=None):
        self.refuse_context(context)
        bend = torch.tanh(self.a * x)
        return x + bend / 2, torch.log1p(self.a * (1 - bend**2) / 2).sum(1)

    def decode(self, z, context=None):
        self.refuse_context(context)
        x = z
        for _ in range(5):
            x = z - torch.tanh(self.a * x) / 2
        return x, -self.encode(x)[1]


class LogDetAtLatent(StopsEarly):
    """An inverse that converges, with the log-det taken at z instead of x."""

    def decode(self, z, context=None):
        self.refuse_context(context)
        x = z
        for _ in range(200):
            x = z - torch.tanh(self.a * x) / 2
        return x, -self.encode(z)[1]


class OutOfIterations(ResidualBlock):
    """Gives up after three iterations, and flags it."""

    def decode(self, z, context=None):
        self.max_iterations = 3
        return super().decode(z, context)


class UnsavedBuffer(Permutation):
    """A random order that no checkpoint carries."""

    def __init__(self, dim: int) -> None:
        super().__init__(torch.randperm(dim))
        for name in ("order", "inverse_order"):
            self.register_buffer(name, getattr(self, name), persistent=False)


class InPlace(Diagonal):
    """Scales the caller's tensor."""

    def encode(self, x, context=None):
        with torch.no_grad():
            x.add_(1.0)
        return super().encode(x, context)


class DefaultDtype(Compose):
    """Adds log-dets up in torch's default dtype."""

    def encode(self, x, context=None):
        total = torch.zeros(len(x))
        for layer in self.sequence:
            x, log_det = layer.encode(x)
            total += log_det
        return x, total


class DefaultDevice(Diagonal):
    """Adds the log-det to zeros on torch's default device."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        return z, torch.zeros(len(x), dtype=x.dtype) + log_det


class StochasticEval(Diagonal):
    """Adds a little noise that eval mode should have switched off."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        return z + 1e-15 * torch.randn_like(z), log_det


class OfTheBatch(Diagonal):
    """Takes statistics of the batch in eval mode."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x - x.mean(0), context)
        return z, log_det


class Detached(Diagonal):
    """The log-det has no gradient: training would see the base distribution alone."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        return z, log_det.detach()


class DetachedDecode(Diagonal):
    """The inverse has no gradient."""

    def decode(self, z, context=None):
        x, log_det = super().decode(z, context)
        return x.detach() + z - z.detach(), log_det


class StaleCache(Diagonal):
    """Computes the scale once, whatever training makes of it."""

    kept = None

    def encode(self, x, context=None):
        self.refuse_context(context)
        if torch.is_grad_enabled():
            return super().encode(x, context)
        if self.kept is None:
            self.kept = (self.log_scale.exp(), self.log_scale.sum())
        scale, log_det = self.kept
        return x * scale + self.shift, log_det.expand(len(x))


class UnusedParameter(Diagonal):
    """A parameter that nothing depends on."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.temperature = nn.Parameter(torch.ones(()))


class WrongMap(Diagonal):
    """The shortcut that sampling takes forgot the shift."""

    def decode_map(self, z, context=None):
        return z * (-self.log_scale).exp()


class NearlySingular(PlainLinear):
    """A matrix whose last row is next to nothing."""

    def weight(self):
        return self.matrix * torch.linspace(1, 1e-8, self.size).to(self.matrix)[:, None]

    def inverse_weight(self):
        return torch.linalg.inv(self.weight())

    def weight_log_det(self):
        return torch.linalg.slogdet(self.weight())[1]


class ContextIgnored(AffineCoupling):
    """Takes a context and has no use for it."""

    def __init__(self) -> None:
        split = Split("half", (3,))
        super().__init__(split, make_conditioner(split, 2, (8, 8), context_size=2))

    def encode_part(self, moved, copied, context):
        return super().encode_part(moved, copied, torch.zeros_like(context))

    def decode_part(self, moved, copied, context):
        return super().decode_part(moved, copied, torch.zeros_like(context))


class ContextSwallowed(Diagonal):
    """Takes no context, and says nothing when it gets one."""

    def refuse_context(self, context):
        pass


class OneColumn(Diagonal):
    """The log-det is (N, 1)."""

    def encode(self, x, context=None):
        z, log_det = super().encode(x, context)
        return z, log_det[:, None]


class Lopsided(ResidualBlock):
    """A roulette whose late terms are not weighed up for being rare."""

    def _log_det(self, x, product):
        return (0.9 if self.training else 1.0) * super()._log_det(x, product)


class LeadingTerm(ResidualBlock):
    """The value of the estimator whose gradient is right: tr(J (I + J)^-1)."""

    def _log_det(self, x, product):
        if not self.training:
            return super()._log_det(x, product)
        noise = torch.randn(1, *x.shape, dtype=x.dtype)
        power, total = product(noise), 0.0
        for sign in (1, -1) * 20:
            total = total + sign * (power * noise).flatten(2).sum(2)
            power = product(power)
        return total[0]


class EstimateWithoutGradient(ResidualBlock):
    """Right on average, with a gradient of half the size."""

    def _log_det(self, x, product):
        log_det = super()._log_det(x, product)
        return log_det.detach() + 0.5 * (log_det - log_det.detach()) if self.training else log_det


class Exaggerating(Compose):
    """Says `exact` and `analytic` of whatever it is made of."""

    log_det_label = "exact"
    inverse_label = "analytic"


class SampledSign(Flow):
    """The log-det of sampling is added where it should be taken off."""

    def sample_and_log_prob(self, n, context=None, generator=None):
        z = self.base.sample(n, generator=generator)
        x, log_det = self.decode(z, context)
        return x, self.base.log_prob(z) + log_det


class Unnormalised(NormalBase):
    """The constant of the normal density is left out."""

    def log_prob(self, z):
        return super().log_prob(z) + 0.5 * log(2 * pi) * self.dim


class DeafToGenerator(NormalBase):
    """Draws from torch's global generator."""

    def sample(self, n, temperature=1.0, generator=None):
        return super().sample(n, temperature)


@dataclass(frozen=True)
class Mutant:
    """What is wrong, and the checks that must fail for it."""

    build: Callable[[], nn.Module]
    caught_by: set[str]
    shape: Shape = (3,)
    context_size: int = 0

    def subject(self) -> Subject:
        return Subject(
            "mutant",
            "",
            self.build,
            self.shape,
            (prod(self.shape),),
            self.context_size,
            scale=1.0,
        )


def composed(kind: type[Compose], *layers: Bijection) -> Bijection:
    return kind(layers or [Diagonal(3), Planar(3)])


def block(kind: type[ResidualBlock]) -> ResidualBlock:
    return kind(contractive_mlp(3, (16,), 0.9, "tanh"), 3, log_det="roulette")


def flow(kind: type[Flow] = Flow, base: type[NormalBase] = NormalBase) -> Flow:
    return kind((2,), Compose([Diagonal(2), Planar(2)]), base(2))


MUTANTS: dict[str, Mutant] = {
    "sign of encode": Mutant(partial(EncodeSign, 3), {"encode log-det", "log-dets cancel"}),
    "sign of decode": Mutant(partial(DecodeSign, 3), {"decode log-det", "log-dets cancel"}),
    "missing transpose": Mutant(
        partial(MissingTranspose, (3,)),
        {"data round trip", "latent round trip", "Jacobians invert"},
    ),
    "misplaced transpose": Mutant(
        partial(MisplacedTranspose, 3), {"encode log-det", "data round trip"}
    ),
    "dropped log-det": Mutant(
        partial(composed, DroppedLogDet), {"encode log-det", "decode log-det"}
    ),
    "doubled log-det": Mutant(partial(DoubledLogDet, 3), {"decode log-det", "log-dets cancel"}),
    "inverse stops early": Mutant(
        partial(StopsEarly, 3), {"data round trip", "latent round trip", "Jacobians invert"}
    ),
    "inverse gives up": Mutant(partial(block, OutOfIterations), {"data round trip", "converged"}),
    "log-det at the latent": Mutant(
        partial(LogDetAtLatent, 3), {"decode log-det", "log-dets cancel"}
    ),
    "unsaved buffer": Mutant(partial(UnsavedBuffer, 6), {"saved and loaded"}, (6,)),
    "in place": Mutant(partial(InPlace, 3), {"inputs kept"}),
    "default dtype": Mutant(partial(composed, DefaultDtype), {"dtype kept"}),
    "default device": Mutant(partial(DefaultDevice, 3), {"device kept"}),
    "stochastic eval": Mutant(partial(StochasticEval, 3), {"deterministic"}),
    "statistics of the batch": Mutant(partial(OfTheBatch, 3), {"rows independent"}),
    "detached log-det": Mutant(partial(Detached, 3), {"encode gradient"}),
    "detached decode": Mutant(partial(DetachedDecode, 3), {"decode gradient"}),
    "stale cache": Mutant(partial(StaleCache, 3), {"encode gradient"}),
    "unused parameter": Mutant(partial(UnusedParameter, 3), {"gradients reach"}),
    "wrong shortcut": Mutant(partial(WrongMap, 3), {"maps agree"}),
    "nearly singular": Mutant(partial(NearlySingular, (3,)), {"conditioning"}),
    "context ignored": Mutant(ContextIgnored, {"context used", "gradients reach"}, (3,), 2),
    "context swallowed": Mutant(partial(ContextSwallowed, 3), {"context refused"}),
    "one column": Mutant(partial(OneColumn, 3), {"shapes"}),
    "biased estimate": Mutant(partial(block, Lopsided), {"estimate"}),
    "surrogate's value": Mutant(partial(block, LeadingTerm), {"estimate"}),
    "half the gradient": Mutant(partial(block, EstimateWithoutGradient), {"estimate gradient"}),
    "exaggerated labels": Mutant(lambda: composed(Exaggerating, block(ResidualBlock)), {"labels"}),
    "sign of sampling": Mutant(partial(flow, SampledSign), {"sample log_prob"}, (2,)),
    "unnormalised": Mutant(partial(flow, base=Unnormalised), {"integral"}, (2,)),
    "deaf to generators": Mutant(partial(flow, base=DeafToGenerator), {"generator followed"}, (2,)),
}
