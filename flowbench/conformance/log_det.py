"""Whether log-determinants are those of the maps, by autograd's full Jacobian."""

import torch
from torch import Tensor

from flowbench.conformance.case import Case
from flowbench.conformance.result import Finding, not_checked, worst
from flowbench.conformance.roundtrip import LOG_DET_TOLERANCE


def encode_log_det(case: Case) -> Finding:
    """The log-det of encode is log|det J| at x."""
    return _against_jacobian(case, case.encoded[1], case.jacobian_at_x, case.condition_at_x)


def decode_log_det(case: Case) -> Finding:
    """The log-det of decode is log|det J| at z."""
    return _against_jacobian(case, case.decoded[1], case.jacobian_at_z, case.condition_at_z)


def log_dets_cancel(case: Case) -> Finding:
    """The log-det of decode at encode(x) is minus that of encode at x."""
    with torch.no_grad():
        back = case.decode(case.encoded[0])[1]
    well = case.well(case.condition_at_x)
    return worst((case.encoded[1] + back).abs()[well], LOG_DET_TOLERANCE)


def _against_jacobian(case: Case, log_det: Tensor, jacobian: Tensor, condition: Tensor) -> Finding:
    if case.noisy:
        return not_checked("the log-det is a random estimate: see `estimate`")
    well = case.well(condition)
    true = torch.linalg.slogdet(jacobian[well]).logabsdet
    return worst((log_det[well] - true).abs(), LOG_DET_TOLERANCE + case.bias_bound)
