"""Presets after the papers: each can be built and trained, at the published size."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from flowbench.cli.configuring import run_spec
from flowbench.data.catalogue import image_steps
from flowbench.families.registry import create
from flowbench.training.optimisers import clipped_norm, optimiser

FILES = sorted((Path(__file__).parents[2] / "configs/papers").glob("*.yaml"))
SHAPES = {
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "power": (6,),
    "hepmass": (21,),
    "miniboone": (43,),
    "bsds300": (63,),
}
LAMBDAS = {"mnist": 1e-6, "cifar10": 0.05}
SLOW = {"iresnet-cifar10", "residual-flow-cifar10", "residual-flow-mnist"}
"""Their norms alone take a minute: whole in `make test-papers`, with one block a level here."""


def built(file, *overrides):
    """Return a preset's specification and its flow in data units; no data is needed for that."""
    spec = run_spec([str(file), *overrides])
    name = spec.data.name
    steps = spec.data.preprocess
    if steps is None:
        steps = image_steps(256, LAMBDAS[name]) if name in LAMBDAS else [{"name": "standardise"}]
    torch.manual_seed(0)
    flow = create(spec.family.name, SHAPES[name], preprocess=steps, **spec.family.hyperparameters)
    return spec, flow


def stepped(file, *overrides):
    """Take one step on two events; return the flow and its parameters before."""
    spec, flow = built(file, *overrides)
    shape = SHAPES[spec.data.name]
    x = 256 * torch.rand(2, *shape) if len(shape) == 3 else torch.randn(2, *shape)
    flow.train()
    flow.initialise(x)
    before = [parameter.detach().clone() for parameter in flow.parameters()]
    flow.key_noise(0, 0, torch.arange(2))
    loss = -flow(x).mean()
    loss.backward()
    norm = clipped_norm(flow, spec.training.gradient_clip)
    optimiser(flow, spec.training).step()
    flow.after_step()
    assert torch.isfinite(loss)
    assert torch.isfinite(norm)
    return flow, before


def moved(flow, before):
    """Return the share of the parameter tensors that a step has changed."""
    after = list(flow.parameters())
    changed = [not torch.equal(new, old) for new, old in zip(after, before, strict=True)]
    assert all(torch.isfinite(parameter).all() for parameter in after)
    return sum(changed) / len(changed)


def count(flow):
    return sum(parameter.numel() for parameter in flow.parameters())


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_preset_takes_a_step(file):
    flow, before = stepped(file, *(["family.depth=1"] if file.stem in SLOW else []))
    # At first a coupling's network passes no gradient on to what lies before its last layer.
    assert moved(flow, before) > 0.05


@pytest.mark.papers
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_large_preset_takes_a_step(name):
    (file,) = (file for file in FILES if file.stem == name)
    flow, before = stepped(file)
    assert moved(flow, before) > 0.05
    if name in PUBLISHED:
        assert count(flow) == pytest.approx(PUBLISHED[name], rel=0.01)
    assert count(flow) == pytest.approx(LAYERS[name], rel=0.005)


PUBLISHED = {"glow-cifar10": 44.2e6, "realnvp-cifar10": 6.4e6, "residual-flow-cifar10": 25.2e6}


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - SLOW))
def test_there_are_as_many_parameters_as_published(name):
    (file,) = (file for file in FILES if file.stem == name)
    assert count(built(file)[1]) == pytest.approx(PUBLISHED[name], rel=0.01)


def dense(*widths):
    return sum((a + 1) * b for a, b in pairwise(widths))


def convolved(*channels):
    """Parameters of 3x3, 1x1, 3x3 convolutions."""
    return sum((k * a + 1) * b for k, (a, b) in zip((9, 1, 9), pairwise(channels), strict=True))


LAYERS = {
    # Couplings, and a scale and a shift of each value.
    "nice-mnist": 4 * dense(392, *[1000] * 5, 392) + 2 * 784,
    "nice-cifar10": 4 * dense(1536, *[2000] * 4, 1536) + 2 * 3072,
    # Networks of 3 outputs for 2 (mean and log-scale); actnorm has two numbers a coordinate.
    **{
        f"maf-{name}": 5 * (dense(d, h, h, 2 * d) + 2 * d)
        for name, d, h in [
            ("power", 6, 100),
            ("hepmass", 21, 512),
            ("miniboone", 43, 512),
            ("bsds300", 63, 512),
        ]
    },
    # Channels at each scale; with a half factored out after each (of one channel none).
    "iresnet-mnist": sum(16 * (convolved(c, 32, 32, c) + 2 * c) for c in (1, 4, 8)),
    "iresnet-cifar10": sum(16 * (convolved(c, 512, 512, c) + 2 * c) for c in (3, 8, 16)),
    **{
        f"residual-flow-{name}": sum(16 * (convolved(c, 512, 512, c) + 2 * c) for c in channels)
        + 4 * (dense(d, 128, 128, d) + 2 * d)
        for name, channels, d in [("mnist", (1, 4, 16), 784), ("cifar10", (3, 12, 48), 3072)]
    },
}
"""Numbers of parameters by what the papers say of their layers."""


@pytest.mark.parametrize("name", sorted(set(LAYERS) - SLOW))
def test_there_are_as_many_parameters_as_the_papers_layers_have(name):
    (file,) = (file for file in FILES if file.stem == name)
    assert count(built(file)[1]) == pytest.approx(LAYERS[name], rel=0.005)


def test_each_preset_says_its_source_and_what_differs():
    for file in FILES:
        comment = "".join(
            line.removeprefix("#") for line in file.read_text().splitlines() if line[0] == "#"
        )
        assert any(str(year) in comment for year in range(2014, 2020)), file.stem
        assert "What differs" in comment, file.stem
