from math import log

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.preprocess import Logit, Scale, Standardise, as_preprocess, describe
from flowbench.errors import InputError

IMAGE = (2, 2, 3)


def chain() -> Compose:
    """Scale, logit and standardise with statistics far from the identity."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(IMAGE, generator=generator, dtype=torch.float64)
    std = torch.rand(IMAGE, generator=generator, dtype=torch.float64) + 0.3
    return Compose([Scale(IMAGE, -1, 17), Logit(IMAGE, 0.01), Standardise(IMAGE, mean, std)])


def levels(n: int = 5) -> Tensor:
    return torch.rand(n, *IMAGE, dtype=torch.float64) * 18 - 1


def full_log_det(layer: Bijection, x: Tensor) -> Tensor:
    """Return log|det| of encode's full Jacobian at each sample."""
    return torch.stack(
        [
            torch.linalg.slogdet(
                jacobian(lambda v: layer.encode_map(v.reshape(1, *IMAGE)).flatten(), each.flatten())
            )[1]
            for each in x
        ]
    )


def test_log_det_is_that_of_the_full_jacobian_in_both_directions() -> None:
    layer, x = chain(), levels()
    z, log_det = layer.encode(x)
    back, back_log_det = layer.decode(z)
    assert torch.allclose(log_det, full_log_det(layer, x), atol=1e-10, rtol=0)
    assert torch.allclose(back, x, atol=1e-12, rtol=0)
    assert torch.allclose(back_log_det, -log_det, atol=1e-10, rtol=0)


def test_logit_matches_its_formula_on_the_border() -> None:
    layer = Logit((3,), 1e-6)
    x = torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.float64)
    z, _ = layer.encode(x)
    expected = torch.logit(1e-6 + (1 - 2e-6) * x)
    assert torch.allclose(z, expected, rtol=1e-9)
    assert torch.allclose(layer.decode(z)[0], x, atol=1e-15)


def test_scale_counts_every_coordinate() -> None:
    x = torch.rand(4, 2, 2, 3)
    assert torch.allclose(Scale(IMAGE, 0, 256).encode(x)[1], torch.full((4,), -12 * log(256)))


def test_description_rebuilds_the_same_map() -> None:
    layer = chain()
    rebuilt = as_preprocess(describe(layer), IMAGE).double()
    rebuilt.load_state_dict(layer.state_dict())
    x = levels()
    assert torch.equal(rebuilt.encode(x)[0], layer.encode(x)[0])
    assert torch.equal(rebuilt.encode(x)[1], layer.encode(x)[1])


def test_none_is_the_identity() -> None:
    x = torch.randn(3, 2)
    z, log_det = as_preprocess(None, (2,)).encode(x)
    assert torch.equal(z, x)
    assert torch.equal(log_det, torch.zeros(3))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"name": "whiten"}], "allowed: scale, logit, standardise"),
        ([{"name": "logit", "lam": 0.7}], r"lam = 0\.7"),
        ([{"name": "scale", "low": 1, "high": 1}], "high = 1"),
        ([{"name": "logit", "lambda": 0.1}], "lambda"),
    ],
)
def test_a_wrong_step_is_named(steps: list[dict[str, object]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_preprocess(steps, (2,))


def test_context_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="Logit takes no context"):
        Logit((2,)).encode(torch.rand(1, 2), torch.zeros(1, 1))
