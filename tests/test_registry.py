"""Which families there are, and on what."""

import pytest
import torch

from flowbench.errors import InputError
from flowbench.families.registry import FAMILIES, create


def test_the_six_families_are_registered():
    assert list(FAMILIES) == ["nice", "realnvp", "glow", "planar", "sylvester", "residual"]


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (3, 2, 6), (1, 5, 5), (3, 3, 4)])
@pytest.mark.parametrize("name", FAMILIES)
def test_defaults_suit_vectors_and_images_even_and_odd(name, shape):
    flow = create(name, shape, depth=2).eval()
    x = torch.randn(3, *shape)
    z, log_det = flow.encode(x)
    assert z.shape == (3, x[0].numel())
    torch.testing.assert_close(flow.decode(z)[0], x, atol=1e-4, rtol=1e-4)
    assert log_det.shape == flow(x).shape == (3,)
    assert flow.sample(2).shape == (2, *shape)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_dimension_works_or_is_refused_in_a_sentence(name):
    try:
        flow = create(name, (1,), depth=2).double().eval()
    except InputError as error:
        assert "needs two coordinates or more" in str(error)  # noqa: PT017 - or it works
        return
    # A density on the line, summed.
    x = torch.linspace(-30, 30, 20001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        total = flow(x).exp().sum() * (x[1, 0] - x[0, 0])
    assert float(total) == pytest.approx(1, abs=1e-3)


def test_couplings_are_the_families_that_refuse_one_dimension():
    refusing = []
    for name in FAMILIES:
        try:
            create(name, (1,))
        except InputError:
            refusing.append(name)
    assert refusing == ["nice", "realnvp", "glow"]
