import numpy as np
import pytest

from flowbench.data.densities import DENSITIES, Density

ALL = pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES)


@ALL
def test_density_integrates_to_one(density: Density) -> None:
    side = np.linspace(-7, 7, 401) + 1e-3  # off the checkerboard's edges
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mass = np.exp(density.log_prob(grid)).sum() * (side[1] - side[0]) ** 2
    assert mass == pytest.approx(1, abs=5e-3 if density.name == "checkerboard" else 1e-6)


@ALL
def test_samples_have_the_stated_entropy(density: Density) -> None:
    log_prob = density.log_prob(density.sample(20_000, seed=3))
    error = log_prob.std() / len(log_prob) ** 0.5
    # The tables give four decimals.
    assert abs(-log_prob.mean() - density.entropy) < 4 * error + 5e-4


@ALL
def test_samples_fall_where_the_density_says(density: Density) -> None:
    """Count samples in the cells of a coarse grid against the integral of the density."""
    x = density.sample(20_000, seed=1)
    side = np.linspace(-6, 6, 241)
    middle = (side[1:] + side[:-1]) / 2
    grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
    fine = np.exp(density.log_prob(grid)).reshape(240, 240) * (side[1] - side[0]) ** 2
    expected = len(x) * fine.reshape(12, 20, 12, 20).sum((1, 3))
    counted = np.histogram2d(x[:, 0], x[:, 1], bins=side[::20])[0]
    often = expected > 20
    chi_squared = ((counted - expected)[often] ** 2 / expected[often]).sum()
    assert chi_squared < often.sum() + 5 * (2 * often.sum()) ** 0.5


@ALL
def test_points_rounded_to_float32_stay_inside(density: Density) -> None:
    x = density.sample(20_000, seed=5).astype(np.float32).astype(np.float64)
    assert np.isfinite(density.log_prob(x)).all()


def test_the_seed_decides_the_sample() -> None:
    moons = DENSITIES["moons"]
    assert np.array_equal(moons.sample(10, 1), moons.sample(10, 1))
    assert not np.array_equal(moons.sample(10, 1), moons.sample(10, 2))
