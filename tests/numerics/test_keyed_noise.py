import pytest
import torch
from scipy import stats

from flowbench.numerics.keyed_noise import rademacher, scalar_uniform, string_key, uniform


def test_values_do_not_depend_on_the_batch_they_are_drawn_in() -> None:
    rows = torch.arange(1000)
    whole = uniform(3, 7, rows, 5)
    shuffled = torch.randperm(1000)
    assert torch.equal(uniform(3, 7, rows[shuffled], 5), whole[shuffled])
    assert torch.equal(uniform(3, 7, rows[400:401], 5), whole[400:401])
    assert torch.equal(uniform(3, 7, rows, 9)[:, :5], whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_uniform_and_uncorrelated(dtype: torch.dtype) -> None:
    values = uniform(0, 0, torch.arange(20_000), 4, dtype=dtype)
    assert values.dtype == dtype
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values.flatten().numpy(), "uniform").pvalue > 1e-3
    correlation = torch.corrcoef(values.T) - torch.eye(4, dtype=dtype)
    assert correlation.abs().max() < 4 / 20_000**0.5
    lagged = torch.corrcoef(torch.stack([values[:-1, 0], values[1:, 0]]))[0, 1]
    assert abs(lagged) < 4 / 20_000**0.5


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 1}, {"stream": 1}])
def test_every_part_of_the_key_matters(change: dict[str, int]) -> None:
    rows = torch.arange(20_000)
    key = {"seed": 0, "step": 0, "stream": 0}
    one, other = (
        uniform(k["seed"], k["step"], rows, 1, stream=k["stream"]).flatten()
        for k in (key, {**key, **change})
    )
    assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 4 / 20_000**0.5


def test_parts_of_the_key_do_not_stand_in_for_each_other() -> None:
    rows = torch.arange(4)
    assert not torch.equal(uniform(1, 2, rows, 3), uniform(2, 1, rows, 3))
    assert not torch.equal(uniform(0, 1, rows, 3, stream=0), uniform(0, 0, rows, 3, stream=1))


def test_signs_are_balanced_and_uncorrelated() -> None:
    rows = torch.arange(10_000)
    signs = rademacher(5, 1, rows, 5, dtype=torch.float64)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 / 50_000**0.5
    # Two columns share a hash; they must not share anything else.
    correlation = torch.corrcoef(signs.T) - torch.eye(5, dtype=torch.float64)
    assert correlation.abs().max() < 4 / 10_000**0.5
    assert torch.equal(rademacher(5, 1, rows, 8, dtype=torch.float64)[:, :5], signs)


def test_scalars_and_text_keys_are_reproducible() -> None:
    assert scalar_uniform(1, 2) == scalar_uniform(1, 2) != scalar_uniform(1, 3)
    assert 0 <= string_key("moons") == string_key("moons") != string_key("rings")
    assert uniform(2**70 + 3, -1, torch.arange(2), 1).shape == (2, 1)
