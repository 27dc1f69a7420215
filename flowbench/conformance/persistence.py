"""Whether a saved model, loaded again, gives the same numbers."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from flowbench.conformance.case import Case
from flowbench.conformance.result import Finding, offences
from flowbench.conformance.tensors import same
from flowbench.families.checkpoint import load_flow, save_flow
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow


def saved_and_loaded(case: Case) -> Finding:
    """A model made anew from what was saved returns the same bits."""
    torch.manual_seed(case.subject.seed + 1)  # whatever is not saved starts differently
    loaded = case.with_model(_reloaded(case))
    before = case.numbers(case.x, case.z, case.context)
    after = loaded.numbers(case.x, case.z, case.context)
    return offences([name for name in before if not same(before[name], after[name])], "differ")


def _reloaded(case: Case) -> nn.Module:
    """Send a flow through a checkpoint file, and a layer through its state_dict."""
    model = case.model
    if isinstance(model, Flow | ForeignFlow) and model.family_name:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "flow.pt"
            save_flow(model, path)
            return load_flow(path)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    fresh = case.subject.build().double()
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    return fresh.eval()
