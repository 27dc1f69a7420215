"""The race of residual flows' samples, at equal worst error."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.speed.peers import freia, normflows
from benchmarks.speed.residual_race import floor, raced
from benchmarks.speed.table import Row
from flowbench.evaluation.measuring import in_double
from flowbench.families.residual import Residual

UNREACHED = 400


@dataclass(frozen=True)
class Decoder:
    """An inverse with a setting that trades time for error.

    Attributes:
        decode: takes latents to data.
        settings: from the fastest to the most exact.
        set: applies one.
    """

    decode: Callable[[Tensor], Tensor]
    settings: list[float]
    set: Callable[[float], None]

    def meet(self, z: Tensor, x: Tensor, worst: float) -> float | None:
        """Apply the fastest setting whose largest error is within `worst`; None for none."""
        for setting in self.settings:
            self.set(setting)
            with torch.no_grad():
                error = float((self.decode(z) - x).abs().max())
            if error <= worst:
                return setting
        return None


def sampling(flow: Residual, x: Tensor, worst: float, rounds: int, seconds: float) -> list[Row]:
    """Race inverses without log-determinants, each at its fastest setting within `worst`."""
    with torch.no_grad():
        z = flow.encode(x)[0]
        truth = in_double(flow).decode_map(z.double())
    networks = floor(flow, x)
    nf, fr = normflows.ResidualPeer(flow), freia.ResidualPeer(flow)
    tolerances = [10 ** (-k / 8) for k in range(8, 128)]
    decoders = {
        "FlowBench": Decoder(flow.decode_map, tolerances, lambda v: _tolerate(flow, v)),
        "normflows": Decoder(nf.decode, tolerances, lambda v: setattr(nf, "tolerance", v)),
        "FrEIA": Decoder(fr.decode, [float(k) for k in range(1, UNREACHED)],
                         lambda v: fr.set_iterations(int(v))),
    }  # fmt: skip
    assert networks.sample is not None
    calls: dict[str, Callable[[], object]] = {networks.name: networks.calls(x)["sample"]}
    how: dict[str, str] = {}
    for name, decoder in decoders.items():
        setting = decoder.meet(z, truth, worst)
        if setting is None:
            how[name] = "not reached"
            continue
        calls[name] = torch.no_grad()(lambda decoder=decoder: decoder.decode(z))
        how[name] = f"{setting:g} evaluations" if name == "FrEIA" else f"tolerance {setting:.1e}"
    counts = torch.cat([block.convergence.iterations for block in flow.blocks()
                        if block.convergence is not None]).float()  # fmt: skip
    how["FlowBench"] += f", {counts.mean():.1f} evaluations a block, {counts.max():.0f} at most"
    what = f"sample, worst error {worst:g}"
    missed: list[Row] = [
        (what, name, None, None, None, how[name]) for name in how if name not in calls
    ]
    return raced(what, calls, how, rounds, seconds) + missed


def _tolerate(flow: Residual, tolerance: float) -> None:
    for block in flow.blocks():
        block.tolerance = tolerance
