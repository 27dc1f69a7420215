"""zuko's own flows."""

from typing import Any

import zuko

from benchmarks.peer_flows import WIDTH
from flowbench.adapters.zuko import ZukoFlow

Shape = tuple[int, ...]


class Searched(ZukoFlow):
    """A flow whose inverse is searched for."""

    inverse_label = "iterative"


def coupling(event_shape: Shape) -> ZukoFlow:
    """Return affine couplings (`NICE`, which is `RealNVP`)."""
    return _built(zuko.flows.NICE, event_shape)


def maf(event_shape: Shape) -> ZukoFlow:
    """Return affine autoregressive layers (`MAF`)."""
    return _built(zuko.flows.MAF, event_shape)


def spline(event_shape: Shape) -> ZukoFlow:
    """Return autoregressive splines (`NSF`)."""
    return _built(zuko.flows.NSF, event_shape)


def spline_coupling(event_shape: Shape) -> ZukoFlow:
    """Return spline couplings (`NSF`, passes = 2)."""
    return _built(zuko.flows.NSF, event_shape, passes=2)


def naf(event_shape: Shape) -> ZukoFlow:
    """Return neural autoregressive layers (`NAF`)."""
    monotone = {"network": {"hidden_features": (WIDTH,)}}
    return _built(zuko.flows.NAF, event_shape, Searched, signal=4, **monotone)


def sospf(event_shape: Shape) -> ZukoFlow:
    """Return sums of squares of polynomials (`SOSPF`)."""
    return _built(zuko.flows.SOSPF, event_shape, Searched)


def bernstein(event_shape: Shape) -> ZukoFlow:
    """Return Bernstein polynomials (`BPF`)."""
    return _built(zuko.flows.BPF, event_shape, Searched)


def gaussianization(event_shape: Shape) -> ZukoFlow:
    """Return a Gaussianization flow (`GF`)."""
    return ZukoFlow(zuko.flows.GF(event_shape[0], transforms=2), event_shape)


def continuous(event_shape: Shape) -> ZukoFlow:
    """Return a continuous flow with the exact trace (`CNF`)."""
    flow = zuko.flows.CNF(event_shape[0], hidden_features=(WIDTH, WIDTH), exact=True)
    return Searched(flow, event_shape)


def _built(
    make: Any, event_shape: Shape, adapter: type[ZukoFlow] = ZukoFlow, **options: Any
) -> ZukoFlow:
    flow = make(event_shape[0], transforms=2, hidden_features=(WIDTH, WIDTH), **options)
    return adapter(flow, event_shape)
