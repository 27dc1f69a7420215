"""Whether encode and decode undo each other."""

import torch
from torch import Tensor

from flowbench.conformance.case import WELL_CONDITIONED, Case
from flowbench.conformance.result import Finding, worst

LOG_DET_TOLERANCE = 1e-8
ROUNDING = 1e-12


def conditioning(case: Case) -> Finding | None:
    """Some point's Jacobian is well enough conditioned for the other checks to say something."""
    if case.subject.scale is None:
        return None
    return Finding(float(case.condition_at_x.min()), WELL_CONDITIONED)


def data_round_trip(case: Case) -> Finding:
    """decode(encode(x)) = x, within 100 eps cond(J) max(1, |x|)."""
    with torch.no_grad():
        back = case.decode(case.encoded[0])[0]
    return worst(distance(back, case.x), rounding(case.x, case.condition_at_x))


def latent_round_trip(case: Case) -> Finding:
    """encode(decode(z)) = z, within 100 eps cond(J) max(1, |z|)."""
    with torch.no_grad():
        back = case.encode(case.decoded[0])[0]
    return worst(distance(back, case.z), rounding(case.z, case.condition_at_z))


def jacobians_invert(case: Case) -> Finding:
    """J_encode J_decode = I, within 1e-8, or 1e-12 cond(J) where that is more."""
    well = case.well(case.condition_at_x)
    context = None if case.context is None else case.context[well]
    decoding = case.decode_jacobian(case.encoded[0][well], context)
    product = case.jacobian_at_x[well] @ decoding
    identity = torch.eye(case.dim, dtype=product.dtype, device=product.device)
    # Decoding starts from a latent that is rounded, which a steep map makes much of.
    limits = (ROUNDING * case.condition_at_x[well]).clamp(min=LOG_DET_TOLERANCE)
    return worst(distance(product, identity), limits)


def maps_agree(case: Case) -> Finding:
    """encode_map and decode_map give what encode and decode give."""
    with torch.no_grad():
        errors = [distance(case.decode_map(case.z), case.decoded[0])]
        limits = [rounding(case.decoded[0], case.condition_at_z)]
        if case.is_layer:
            errors.append(distance(case.encode_map(case.x), case.encoded[0]))
            limits.append(rounding(case.encoded[0], case.condition_at_x))
    return worst(torch.cat(errors), torch.cat(limits))


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the largest difference of a coordinate, row by row, ``(N,)``."""
    return (a - b).abs().flatten(1).amax(1)


def rounding(x: Tensor, condition: Tensor) -> Tensor:
    """Return what round-off may do to each row: 100 eps cond(J) max(1, |x|), ``(N,)``."""
    size = x.abs().flatten(1).amax(1).clamp(min=1)
    return 100 * torch.finfo(x.dtype).eps * condition * size
