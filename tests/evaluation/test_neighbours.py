import numpy as np
import pytest
import torch

from flowbench.evaluation.neighbours import precision_recall


def brute_force(real, samples, k):
    """Kynkäänniemi et al. 2019, equations 1 and 2, by every distance there is."""

    def share_inside(points, centres):
        between = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
        radius = np.sort(between, axis=1)[:, k]  # place 0 is the point itself
        away = np.linalg.norm(points[:, None] - centres[None], axis=-1)
        return (away <= radius).any(1).mean()

    return share_inside(samples, real), share_inside(real, samples)


@pytest.mark.parametrize(("n", "m", "k"), [(200, 150, 3), (60, 90, 1), (1100, 1300, 5)])
def test_precision_and_recall_are_those_of_every_distance(n, m, k):
    random = np.random.default_rng(n)
    real, samples = random.normal(size=(n, 3)), 0.4 + 0.7 * random.normal(size=(m, 3))
    real[:5] = real[5]  # duplicates: their radius is 0
    found = precision_recall(torch.from_numpy(real), torch.from_numpy(samples), k)
    assert found == pytest.approx(brute_force(real, samples, k), abs=0)
    assert 0.1 < found[1] < found[0] < 1


def test_features_far_from_the_origin_lose_no_digits():
    """Distances by a matrix product would be all round-off here, in single precision."""
    random = np.random.default_rng(0)
    real, samples = (1e4 + 0.1 * random.normal(size=(300, 4)).astype(np.float32) for _ in range(2))
    found = precision_recall(torch.from_numpy(real), torch.from_numpy(samples))
    assert found == pytest.approx(brute_force(real.astype(float), samples.astype(float), 3), abs=0)


def test_samples_of_one_mode_of_two_are_precise_and_reach_half():
    random = np.random.default_rng(1)
    real = random.normal(size=(1000, 2))
    real[500:] += 100
    precision, recall = precision_recall(
        torch.from_numpy(real), torch.from_numpy(random.normal(size=(1000, 2)))
    )
    assert precision > 0.97
    assert 0.45 < recall <= 0.5


def test_samples_that_are_no_numbers_are_in_no_manifold_and_make_none():
    random = np.random.default_rng(2)
    real, samples = (torch.from_numpy(random.normal(size=(400, 2))) for _ in range(2))
    precision, recall = precision_recall(real, samples[100:])
    samples[:100, 1] = torch.nan
    assert precision_recall(real, samples) == (pytest.approx(0.75 * precision), recall)
    assert precision_recall(real, torch.full((400, 2), torch.nan)) == (0, 0)
