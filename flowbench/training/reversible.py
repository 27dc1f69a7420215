"""Switching a flow to reversible backpropagation, or saying why it cannot be."""

from torch import nn

from flowbench.bijections.compose import Compose
from flowbench.bijections.reversible import Reconstruction
from flowbench.errors import InputError
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow

KEY = "training.reversible = true"


def backpropagate_reversibly(flow: Flow) -> Reconstruction:
    """Let every composition of a flow compute its activations again instead of keeping them.

    Returns:
        What backward passes will say of how well they found inputs again.

    Raises:
        InputError: for a flow of another library, a layer that says why it keeps its activations,
            or dropout.
    """
    if isinstance(flow, ForeignFlow):
        raise InputError(f"{KEY}: needs FlowBench's own layers; allowed for this flow: false")
    layers = list(flow.bijections())
    reasons = (layer.keeps_activations_because for layer in layers)
    if reason := next(filter(None, reasons), ""):
        raise InputError(f"{KEY}: family {flow.family_name} {reason}; allowed for it: false")
    if any(isinstance(module, nn.Dropout | nn.Dropout2d) for module in flow.modules()):
        raise InputError(
            f"{KEY}: family.dropout would draw other masks when activations are computed again; "
            "allowed beside it: dropout = 0"
        )
    reconstruction = Reconstruction()
    for layer in layers:
        if isinstance(layer, Compose):
            layer.reconstruction = reconstruction
    return reconstruction
