"""The eight densities against their table: entropy, Gaussian fit and volume-preserving floor."""

from dataclasses import dataclass

import numpy as np
import pytest

from flowbench.data.densities import DENSITIES, Density
from flowbench.data.module import open_data
from flowbench.data.summary import baselines
from flowbench.spec.run import DataSpec

ALL = pytest.mark.parametrize("name", DENSITIES)

# Computed apart from this project, by quadrature and by the covariance of four million points:
# entropy, cross-entropy of the best Gaussian, least excess of a volume-preserving flow, in nats.
TABLE = {
    "8gaussians": (2.8319, 4.2552, 0.001),
    "checkerboard": (3.46574, 4.494, 0.307),
    "2spirals": (2.6454, 3.7473, 0.046),
    "moons": (2.3939, 3.2946, 0.036),
    "circles": (3.2681, 3.8922, 0.029),
    "rings": (2.6232, 3.5873, 0.030),
    "swissroll": (2.6696, 3.4658, 0.028),
    "pinwheel": (2.3178, 3.6262, 0.001),
}


@dataclass(frozen=True)
class Grid:
    """A density on a fine grid."""

    points: np.ndarray
    p: np.ndarray
    cell: float


@pytest.fixture(scope="module")
def on_grid():
    """Return a function that tabulates a density once."""
    known: dict[str, Grid] = {}

    def tabulate(name: str) -> Grid:
        if name not in known:
            # The edges of the checkerboard's squares lie between the grid's points.
            edges = np.linspace(-7, 7, 281)
            side = (edges[1:] + edges[:-1]) / 2
            points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
            p = np.exp(DENSITIES[name].log_prob(points))
            known[name] = Grid(points, p, (side[1] - side[0]) ** 2)
        return known[name]

    return tabulate


@ALL
def test_density_integrates_to_one(name: str, on_grid) -> None:
    grid = on_grid(name)
    assert grid.p.sum() * grid.cell == pytest.approx(1, abs=1e-6)


@ALL
def test_entropy_is_the_integral_of_the_density(name: str, on_grid) -> None:
    grid = on_grid(name)
    p = grid.p[grid.p > 0]
    entropy = -(p * np.log(p)).sum() * grid.cell
    assert DENSITIES[name].entropy == pytest.approx(entropy, abs=2e-4)
    assert DENSITIES[name].entropy == pytest.approx(TABLE[name][0], abs=5e-5)


@ALL
def test_gaussian_fit_costs_what_the_covariance_says(name: str, on_grid) -> None:
    """1 + ln(2 pi) + ln det(C) / 2 on the plane."""
    grid = on_grid(name)
    weight = grid.p * grid.cell
    centred = grid.points - weight @ grid.points
    covariance = (centred * weight[:, None]).T @ centred
    assert 1 + np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] / 2 == pytest.approx(
        TABLE[name][1], abs=1e-3
    )


@ALL
def test_baselines_of_the_sample_agree_with_the_table(name: str) -> None:
    found = baselines(open_data(DataSpec(name=name), data_seed=0))
    assert -found["gaussian/test/nats"] == pytest.approx(TABLE[name][1], abs=0.012)
    assert found["entropy/nats"] == DENSITIES[name].entropy


@ALL
def test_volume_preserving_floor_by_rearrangement(name: str, on_grid) -> None:
    """1 + ln E[A(x)] - H with A(x) the area where the density is higher, ties counted half."""
    grid = on_grid(name)
    _, of_point, count = np.unique(grid.p, return_inverse=True, return_counts=True)
    above = count[::-1].cumsum()[::-1] - count / 2
    expected_area = (grid.p * above[of_point]).sum() * grid.cell**2
    floor = 1 + np.log(expected_area) - DENSITIES[name].entropy
    assert DENSITIES[name].volume_preserving_floor == pytest.approx(floor, abs=2e-3)
    assert DENSITIES[name].volume_preserving_floor == TABLE[name][2]


@ALL
def test_samples_have_the_stated_entropy(name: str) -> None:
    density = DENSITIES[name]
    log_prob = density.log_prob(density.sample(20_000, seed=3))
    error = log_prob.std() / len(log_prob) ** 0.5
    assert abs(-log_prob.mean() - density.entropy) < 4 * error + 1e-4


@ALL
def test_samples_fall_where_the_density_says(name: str, on_grid) -> None:
    """Count samples in coarse cells against the integral of the density over each."""
    x = DENSITIES[name].sample(50_000, seed=1)
    expected = len(x) * on_grid(name).p.reshape(28, 10, 28, 10).sum((1, 3)).T * on_grid(name).cell
    edges = np.linspace(-7, 7, 29)
    counted = np.histogram2d(x[:, 0], x[:, 1], bins=[edges, edges])[0]
    often = expected > 20
    chi_squared = ((counted - expected)[often] ** 2 / expected[often]).sum()
    assert chi_squared < often.sum() + 5 * (2 * often.sum()) ** 0.5
    assert counted[expected < 1e-9 * len(x)].sum() == 0


@ALL
def test_points_rounded_to_float32_stay_inside(name: str) -> None:
    density: Density = DENSITIES[name]
    x = density.sample(20_000, seed=5).astype(np.float32).astype(np.float64)
    assert np.isfinite(density.log_prob(x)).all()


def test_the_seed_decides_the_sample() -> None:
    moons = DENSITIES["moons"]
    assert np.array_equal(moons.sample(10, 1), moons.sample(10, 1))
    assert not np.array_equal(moons.sample(10, 1), moons.sample(10, 2))


def test_the_splits_of_a_density_are_drawn_apart() -> None:
    data = open_data(DataSpec(name="moons"), data_seed=4)
    first = {split: data.split(split)[list(range(5))] for split in data.info.sizes}
    assert data.info.sizes == {"train": 65_536, "validation": 10_000, "test": 100_000}
    assert not (first["train"].x == first["test"].x).any()
    rows = np.concatenate([part.row for part in data.source.splits.values()])
    assert np.array_equal(rows, np.arange(175_536))  # noise is keyed by these: none twice
