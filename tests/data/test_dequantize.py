import numpy as np
import pytest
import torch

from flowbench.data.dequantize import Dequantizer
from flowbench.data.module import open_data
from flowbench.spec.run import DataSpec


def _integers(levels: int, rows: int = 500, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = np.random.default_rng(levels).integers(0, levels, (rows, 3, 2))
    return torch.from_numpy(values).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_there_and_back_is_exact_for_every_draw(levels: int, dtype: torch.dtype) -> None:
    x, row = _integers(levels, dtype=dtype), torch.arange(500)
    dequantise = Dequantizer(7, levels)
    for draw in range(20):
        y = dequantise(x, row, draw)
        assert y.dtype == dtype
        assert ((y >= x) & (y < x + 1)).all()
        assert torch.equal(dequantise.quantise(y), x)


def test_noise_so_near_to_one_that_rounding_would_carry_it_over() -> None:
    """Some of 4 million draws exceed 1 - 2^-17: added to 255 in float32 they would give 256."""
    x = torch.full((20_000, 200), 255.0)
    y = Dequantizer(0, 256)(x, torch.arange(20_000), 0)
    assert (y - x).max() > 1 - 2**-15
    assert y.max() < 256


def test_values_outside_the_levels_are_clipped_on_the_way_back() -> None:
    y = torch.tensor([[-3.2, 0.5], [16.99, 40.0]])
    assert torch.equal(Dequantizer(0, 17).quantise(y), torch.tensor([[0.0, 0.0], [16.0, 16.0]]))


def test_noise_is_uniform_and_new_in_each_draw() -> None:
    x, row = torch.zeros(20_000, 2), torch.arange(20_000)
    dequantise = Dequantizer(3, 256)
    one, other = dequantise(x, row, 0), dequantise(x, row, 1)
    share = torch.histc(one, 10, 0, 1) / one.numel()
    assert (share - 0.1).abs().max() < 5 * (0.09 / one.numel()) ** 0.5
    assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < 0.02


def test_noise_belongs_to_the_row_whatever_the_batch() -> None:
    data = open_data(DataSpec(name="digits"), data_seed=0)
    whole = torch.cat([batch.x for batch in data.batches("validation", 180, draw=2)])
    for size in (1, 7, 64):
        parts = torch.cat([batch.x for batch in data.batches("validation", size, draw=2)])
        assert torch.equal(parts, whole)


def test_a_share_of_the_data_gets_the_noise_of_the_whole() -> None:
    whole = open_data(DataSpec(name="digits"), data_seed=0)
    share = open_data(DataSpec(name="digits", train_size=0.1), data_seed=0)
    noisy = {
        int(row): x
        for batch in whole.batches("train")
        for row, x in zip(batch.row, batch.x, strict=True)
    }
    for batch in share.batches("train"):
        for row, x in zip(batch.row, batch.x, strict=True):
            assert torch.equal(x, noisy[int(row)])


def test_digits_have_seventeen_levels() -> None:
    data = open_data(DataSpec(name="digits"), data_seed=0)
    assert data.info.levels == 17
    pixels = torch.cat([batch.x for batch in data.batches("train")])
    assert pixels.min() >= 0
    assert 16 < pixels.max() < 17
    whole = data.dequantise.quantise(pixels)
    assert whole.unique().tolist() == list(range(17))


def test_only_the_named_columns_of_a_table_are_dequantised() -> None:
    x = torch.tensor([[2.0, 0.25, -7.0], [5.0, 0.75, 3.0]])
    dequantise = Dequantizer(1, columns=(0, 2))
    y = dequantise(x, torch.arange(2), 0)
    assert torch.equal(y[:, 1], x[:, 1])
    assert ((y - x)[:, [0, 2]] > 0).all()
    assert torch.equal(dequantise.quantise(y), x)
    assert torch.equal(x, torch.tensor([[2.0, 0.25, -7.0], [5.0, 0.75, 3.0]]))  # left as it is


def test_continuous_data_pass_through() -> None:
    x = torch.randn(4, 3)
    assert not Dequantizer(1).active
    assert Dequantizer(1)(x, torch.arange(4), 0) is x


@pytest.mark.parametrize("value", [1.0, 1000.0, 65_535.0])
def test_integer_columns_of_any_size_come_back(value: float) -> None:
    """A large integer leaves float32 few digits for the noise: it must not carry over."""
    x = torch.full((50_000, 1), value)
    dequantise = Dequantizer(5, columns=(0,))
    assert torch.equal(dequantise.quantise(dequantise(x, torch.arange(50_000), 0)), x)
