"""Flows written in nflows."""

from torch import Tensor

from flowbench.adapters.adapted import AdaptedFlow
from flowbench.errors import InputError

try:
    from nflows.flows import Flow
except ImportError:
    raise InputError("nflows is not installed: pip install 'flowbench[bench]'") from None


class NflowsFlow(AdaptedFlow):
    """A `Flow` of nflows: a transform from data to noise, and a distribution of the noise."""

    flow: Flow

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_prob: Tensor = self.flow.log_prob(x, context)
        return log_prob

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        given = self.flow._embedding_net(context)
        base = self.flow._distribution
        # With a context a distribution draws so many for each of its rows.
        noise = base.sample(n) if given is None else base.sample(1, given).squeeze(1)
        # nflows draws in the default dtype, whatever the flow is in.
        x: Tensor = self.flow._transform.inverse(noise.to(next(self.parameters())), given)[0]
        return x

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.flow._transform(x, context=self.flow._embedding_net(context))
        return z, log_det

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.flow._transform.inverse(z, context=self.flow._embedding_net(context))
        return x, log_det
