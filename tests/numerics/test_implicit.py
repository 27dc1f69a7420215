"""Implicit derivatives of roots, first and second, against finite differences."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from flowbench.numerics.implicit import scalar_root, triangular_root, vector_root
from flowbench.numerics.monotone import ACTIVATIONS

# softsign has no second derivative at zero: the points below stay away from it.
activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


def away_from_zero(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    draw = torch.randn(shape, dtype=torch.float64, generator=generator)
    return (draw + draw.sign()).requires_grad_()


@pytest.mark.parametrize("p", [-0.95, 0.0, 4.0])
@activations
def test_scalar_root(activation, p):
    inputs = (away_from_zero(5), torch.tensor(p, dtype=torch.float64, requires_grad=True))
    function = lambda tau, p: scalar_root(tau, p, activation)[0]  # noqa: E731
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@activations
def test_triangular_root(activation):
    B = torch.tensor([[-0.9, 1.5, -0.4], [0.0, 3.0, 0.7], [0.0, 0.0, -0.3]], dtype=torch.float64)
    inputs = (3 * away_from_zero(4, 3).detach(), B)
    inputs = tuple(each.requires_grad_() for each in inputs)
    function = lambda tau, B: triangular_root(tau, B.triu(), activation)[0]  # noqa: E731
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@activations
def test_vector_root(activation):
    B = torch.tensor([[-0.5, 1.5, -0.4], [-1.2, 1.0, 0.7], [0.3, -0.8, 0.2]], dtype=torch.float64)
    least = float(torch.linalg.eigvalsh((B + B.T) / 2)[0])
    assert least > -1
    inputs = (3 * away_from_zero(4, 3).detach(), B)
    inputs = tuple(each.requires_grad_() for each in inputs)
    function = lambda tau, B: vector_root(tau, B, activation)[0]  # noqa: E731
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_nothing_of_the_iterations_is_kept():
    saved = []
    tau = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    B = torch.eye(3, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()), lambda t: t):
        _, report = triangular_root(tau, B, ACTIVATIONS["tanh"])
    assert report.iterations.max() > 6
    assert sorted(saved) == [9, 150]
