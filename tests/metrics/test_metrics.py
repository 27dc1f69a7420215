from math import log

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from flowbench.metrics.bits_per_dim import BitsPerDim
from flowbench.metrics.inversion import ExactShare, InversionError, largest_error


def log_probs(count=101):
    return torch.from_numpy(np.random.default_rng(0).normal(-50, 7, count))


def round_trip(count=101):
    noise = np.random.default_rng(1)
    x = torch.from_numpy(noise.normal(size=(count, 2, 3)))
    return x, x + torch.from_numpy(10 ** noise.uniform(-7, -3, (count, 1, 1)))


def test_bits_per_dim_is_the_mean_with_the_standard_error_of_numpy():
    values = log_probs().numpy()
    metric = BitsPerDim(dim=6)
    for part in log_probs().split(17):
        metric.update(part)
    found = metric.compute()
    error = values.std(ddof=1) / len(values) ** 0.5
    assert float(found["nats"]) == pytest.approx(values.mean(), rel=1e-12)
    assert float(found["nats_se"]) == pytest.approx(error, rel=1e-9)
    assert float(found["bits_per_dim"]) == pytest.approx(-values.mean() / (6 * log(2)), rel=1e-12)
    assert float(found["bits_per_dim_se"]) == pytest.approx(error / (6 * log(2)), rel=1e-9)
    assert int(found["count"]) == 101
    assert metric.bits(-6 * log(2)) == pytest.approx(1)


def test_sums_keep_their_digits_at_a_large_mean_and_in_single_precision():
    values = (1e4 + torch.arange(1000.0) / 1000).float()
    metric = BitsPerDim(dim=1)
    metric.update(values)
    exact = values.double().numpy()
    found = metric.compute()
    assert float(found["nats"]) == pytest.approx(exact.mean(), rel=1e-12)
    assert float(found["nats_se"]) == pytest.approx(exact.std(ddof=1) / 1000**0.5, rel=1e-6)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_is_counted_and_reaches_the_mean(value):
    metric = BitsPerDim(dim=2)
    metric.update(torch.cat([log_probs(), torch.tensor([value], dtype=torch.float64)]))
    found = metric.compute()
    assert int(found["nonfinite"]) == 1
    assert int(found["count"]) == 102
    assert not found["nats"].isfinite()


def test_equal_values_have_no_standard_error_and_one_value_has_none():
    metric = BitsPerDim(dim=2)
    metric.update(torch.full((50,), -0.1))
    assert float(metric.compute()["nats_se"]) == pytest.approx(0, abs=1e-9)
    metric.reset()
    metric.update(torch.tensor([-3.0]))
    assert metric.compute()["nats_se"].isnan()


def test_inversion_error_has_the_quantiles_of_numpy():
    x, back = round_trip()
    metric = InversionError()
    for a, b in zip(x.split(20), back.split(20), strict=True):
        metric.update(a, b)
    errors = (back - x).abs().flatten(1).amax(1).numpy()
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found["max"] == errors.max()
    assert found["p99"] == np.quantile(errors, 0.99, method="higher")
    assert found["median"] == np.quantile(errors, 0.5, method="higher")
    assert (found["points"], found["nonfinite"], found["unconverged"]) == (101, 0, 0)


def test_a_round_trip_that_ends_in_no_number_has_an_infinite_error():
    x, back = round_trip()
    back[3, 1, 2], back[7, 0, 0], back[9, 0, 1] = torch.nan, torch.inf, -torch.inf
    assert largest_error(x, back).isinf().nonzero().flatten().tolist() == [3, 7, 9]
    metric = InversionError()
    metric.update(x, back, unconverged=2)
    found = metric.compute()
    assert found["max"].isinf()
    assert float(found["nonfinite"]) == pytest.approx(3 / 101)
    assert found["median"].isfinite()
    assert int(found["unconverged"]) == 2


def test_a_sample_comes_back_exactly_only_as_a_whole():
    original = torch.randint(0, 17, (10, 1, 4, 4))
    recovered = original.clone()
    recovered[2, 0, 3, 3] += 1
    metric = ExactShare()
    metric.update(original[:5], recovered[:5])
    metric.update(original[5:], recovered[5:])
    assert float(metric.compute()) == 0.9


def _rank(rank, rendezvous, out):
    """Give the ranks unequal shares, the second of them a single value that is not finite."""
    dist.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=2)
    values, (x, back) = log_probs(), round_trip()
    broken = torch.cat([values, torch.tensor([torch.nan], dtype=torch.float64)])
    share = slice(0, 40) if rank == 0 else slice(40, None)
    integers = torch.arange(101).reshape(-1, 1)
    metrics = {
        "bits": (BitsPerDim(6), (values[share],)),
        "broken": (BitsPerDim(6), (broken[share],)),
        "alone": (BitsPerDim(6, sync_on_compute=False), (values[share],)),
        "inversion": (InversionError(), (x[share], back[share], 3 * rank)),
        "exact": (ExactShare(), (integers[share], integers[share] + (rank == 1))),
    }
    found = {}
    for name, (metric, arguments) in metrics.items():
        metric.update(*arguments)
        found[name] = metric.compute()
    torch.save(found, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_with_unequal_shares_agree_with_one_process(tmp_path):
    # Forked: these tensors are too small for the threads that a fork would lose.
    arguments = (tmp_path / "rendezvous", tmp_path)
    mp.start_processes(_rank, arguments, nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1))

    bits, inversion = BitsPerDim(6), InversionError()
    bits.update(log_probs())
    inversion.update(*round_trip(), unconverged=3)
    for found in (first, second):
        for name, value in bits.compute().items():
            torch.testing.assert_close(found["bits"][name], value, rtol=1e-12, atol=0)
        for name, value in inversion.compute().items():
            assert found["inversion"][name] == value
        assert int(found["broken"]["nonfinite"]) == 1
        assert found["broken"]["nats"].isnan()
        assert float(found["exact"]) == pytest.approx(40 / 101)
    assert (int(first["alone"]["count"]), int(second["alone"]["count"])) == (40, 61)
