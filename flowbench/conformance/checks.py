"""The checks, in the order in which they are told."""

from collections.abc import Callable
from dataclasses import dataclass

from flowbench.conformance.case import Case
from flowbench.conformance.context import context_refused, context_used
from flowbench.conformance.density import integral, samples_agree
from flowbench.conformance.estimate import estimate, estimate_gradient
from flowbench.conformance.gradients import decode_gradient, encode_gradient, gradients_reach
from flowbench.conformance.labels import converged, labels
from flowbench.conformance.log_det import decode_log_det, encode_log_det, log_dets_cancel
from flowbench.conformance.persistence import saved_and_loaded
from flowbench.conformance.result import Finding
from flowbench.conformance.roundtrip import (
    conditioning,
    data_round_trip,
    jacobians_invert,
    latent_round_trip,
    maps_agree,
)
from flowbench.conformance.tensors import (
    deterministic,
    device_kept,
    dtype_kept,
    generator_followed,
    inputs_kept,
    rows_independent,
    shapes,
)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        run: returns the worst that it saw; None where it has no bearing on the case.
        encode: whether it needs the model's encode.
        decode: whether it needs the model's decode.
        density: whether it needs a flow: a layer has no density.
    """

    run: Callable[[Case], Finding | None]
    encode: bool = False
    decode: bool = False
    density: bool = False

    @property
    def question(self) -> str:
        """What is asserted, in a sentence."""
        return (self.run.__doc__ or "").partition("\n")[0]


CHECKS: dict[str, Check] = {
    "conditioning": Check(conditioning, encode=True),
    "data round trip": Check(data_round_trip, encode=True, decode=True),
    "latent round trip": Check(latent_round_trip, encode=True, decode=True),
    "encode log-det": Check(encode_log_det, encode=True),
    "decode log-det": Check(decode_log_det, decode=True),
    "log-dets cancel": Check(log_dets_cancel, encode=True, decode=True),
    "Jacobians invert": Check(jacobians_invert, encode=True, decode=True),
    "maps agree": Check(maps_agree, decode=True),
    "sample log_prob": Check(samples_agree, density=True),
    "integral": Check(integral, density=True),
    "gradients reach": Check(gradients_reach),
    "encode gradient": Check(encode_gradient),
    "decode gradient": Check(decode_gradient, decode=True),
    "estimate": Check(estimate, encode=True),
    "estimate gradient": Check(estimate_gradient, encode=True),
    "saved and loaded": Check(saved_and_loaded),
    "deterministic": Check(deterministic),
    "inputs kept": Check(inputs_kept),
    "dtype kept": Check(dtype_kept),
    "device kept": Check(device_kept),
    "rows independent": Check(rows_independent),
    "shapes": Check(shapes),
    "generator followed": Check(generator_followed, density=True),
    "context used": Check(context_used),
    "context refused": Check(context_refused),
    "labels": Check(labels),
    "converged": Check(converged, decode=True),
}
"""By name. A check that a model cannot answer, for want of encode or decode, is said so."""
