import numpy as np
import pytest
import torch
from planted import Faulty
from small_flows import Fragile

from flowbench.data.module import open_data
from flowbench.evaluation.sample_scores import sample_scores
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.run import DataSpec

FIGURES = ("confident_share", "confidence_mean", "precision", "recall")


class Replay(Faulty):
    """A flow whose samples are rows that it was given, in turn."""

    def __init__(self, data, rows):
        super().__init__(data)
        self.rows, self.next = rows, 0

    def sample(self, n, context=None, temperature=1.0, generator=None):
        self.next += n
        return self.rows[self.next - n : self.next]


def part(data, split):
    """Every row of a split, dequantised."""
    return torch.cat([batch.x for batch in data.batches(split)])


def scored(data, rows, split="test"):
    found = sample_scores(Replay(data, rows), data, split)
    return {name.removeprefix("samples/"): value for name, value in found.metrics.items()}


def within_chance(share, other, n):
    """Whether two shares of n each differ by less than four standard errors."""
    pooled = (share + other) / 2
    return abs(share - other) <= 4 * np.sqrt(2 * pooled * (1 - pooled) / n)


@pytest.fixture(scope="module")
def perfect(digits):
    """Scores of 180 held-out digits as samples, against 180 and beside 180 others."""
    return scored(digits, part(digits, "validation"))


def test_real_images_as_samples_score_like_real_ones(perfect):
    assert perfect["points"] == 180
    assert perfect["nonfinite"] == 0
    for name in FIGURES:
        assert perfect[name] > 0.8
        assert within_chance(perfect[name], perfect[f"real_{name}"], 180)


@pytest.mark.parametrize("kind", ["normal", "black and white", "blurred", "upside down in grey"])
def test_noise_is_rejected(digits, perfect, kind):
    """None of these was shown to the classifier in training."""
    random = torch.Generator().manual_seed(0)
    shape = (180, 1, 8, 8)
    uniform = torch.rand(shape, generator=random)
    noise = {
        "normal": (8 + 4 * torch.randn(shape, generator=random)).clamp(0, 16.9),
        "black and white": 16 * (uniform > 0.5).float(),
        "blurred": 16 * torch.nn.functional.avg_pool2d(uniform, 3, 1, 1),
        "upside down in grey": 16.9 - part(digits, "validation").flip(2),
    }
    found = scored(digits, noise[kind])
    assert found["confident_share"] < 0.02
    assert found["confidence_mean"] < 0.1
    assert found["precision"] < 0.05
    # The reference is the data's own, whatever the samples are.
    for name in FIGURES:
        assert found[f"real_{name}"] == perfect[f"real_{name}"]


def test_the_floor_of_a_flow_scores_between_noise_and_real_images(digits, perfect):
    """The Gaussian fitted to the pixels: smudges with the shape of digits, and spread out wide."""
    pixels = part(digits, "train").flatten(1).double()
    gaussian = torch.distributions.MultivariateNormal(
        pixels.mean(0), pixels.T.cov() + 0.01 * torch.eye(64, dtype=torch.float64)
    )
    torch.manual_seed(0)
    found = scored(digits, gaussian.sample((180,)).clamp(0, 16.9).float().view(-1, 1, 8, 8))
    assert 0.1 < found["confident_share"] < perfect["confident_share"] - 0.3
    assert found["precision"] < perfect["precision"] - 0.1


def test_samples_of_half_the_classes_are_precise_and_reach_half(digits, perfect):
    rows, labels = part(digits, "train"), digits.split("train").part.label
    found = scored(digits, rows[labels < 5][:180])
    assert found["precision"] > 0.8
    assert found["recall"] == pytest.approx(0.5 * perfect["recall"], abs=0.1)


def test_samples_that_are_no_numbers_count_and_are_accepted_by_nothing(digits, perfect):
    rows = part(digits, "validation").clone()
    rows[:90, 0, 4, 4] = torch.nan
    found = scored(digits, rows)
    assert found["nonfinite"] == 0.5
    half = {name: 0.5 * perfect[name] for name in ("confident_share", "precision")}
    for name, expected in half.items():
        assert found[name] == pytest.approx(expected, abs=0.05)
    assert all(np.isfinite(value) for value in found.values())


def test_samples_are_floored_to_integers_as_the_data_are(digits, perfect):
    assert scored(digits, part(digits, "validation").floor()) == perfect


def test_the_label_says_which_classifier_scored_how_good_it_is_and_what_it_knows(digits):
    found = sample_scores(Replay(digits, part(digits, "validation")), digits, "test")
    assert found.labels["samples"].startswith("classifier of digits, 9")
    assert found.labels["samples"].endswith("right")
    other = open_data(DataSpec(name="digits"), 1)
    found = sample_scores(Replay(other, part(other, "validation")), other, "test")
    assert found.labels["samples"].endswith("right, trained on another split")


@pytest.mark.parametrize("name", ["faces", "mnist"])
def test_images_that_no_classifier_knows_are_not_scored(tmp_path, name):
    """A user's own file may be named like a known data set, and even have its shape."""
    np.save(
        tmp_path / f"{name}.npy",
        np.random.default_rng(0).integers(0, 256, (300, 28, 28)).astype(np.uint8),
    )
    data = open_data(DataSpec(path=str(tmp_path / f"{name}.npy")), 0)
    found = sample_scores(Faulty(data), data, "test")
    assert found.metrics == {}
    assert found.labels == {"samples": f"not scored: no classifier of {name}"}


def test_real_rows_as_samples_are_told_from_real_ones_by_chance(moons):
    found = scored(moons, part(moons, "test")[:10_000], "validation")
    assert found["points"] == 10_000
    assert abs(found["two_sample_accuracy"] - 0.5) < 4 * found["two_sample_accuracy_se"]
    assert found["two_sample_p"] > 0.001
    assert not set(found) & set(FIGURES)


def test_moved_rows_are_told_from_real_ones(moons):
    moved = part(moons, "test")[:10_000] + torch.tensor([0.1, 0.0])
    assert scored(moons, moved, "validation")["two_sample_p"] < 1e-10


def test_a_flow_at_its_start_is_told_from_the_data(moons, flow_for):
    found = sample_scores(flow_for(moons, "realnvp", depth=2), moons, "validation")
    assert found.metrics["samples/two_sample_p"] < 1e-10
    assert found.labels == {"samples": "classifier two-sample test"}


def test_a_users_own_flow_is_scored_by_its_samples(table):
    found = sample_scores(ForeignFlow(Fragile, (3,), preprocess=table.preprocess()), table, "test")
    assert 0.4 < found.metrics["samples/two_sample_accuracy"] <= 1
    assert found.metrics["samples/points"] == 200


def test_samples_are_drawn_at_the_contexts_that_they_are_scored_with(conditional):
    """The second column is three times the given one, and noise: a flow that knows passes."""

    class Knowing(Replay):
        knows = True

        def sample(self, n, context=None, temperature=1.0, generator=None):
            noise = torch.randn(n, 2, generator=generator)
            shift = 3 * context[:, 0] if self.knows else 3 * torch.randn(n, generator=generator)
            noise[:, 0] += shift
            return noise

    flow = Knowing(conditional, None)
    flow.context_size = 1
    assert sample_scores(flow, conditional, "train").metrics["samples/two_sample_p"] > 0.01
    flow.knows = False
    assert sample_scores(flow, conditional, "train").metrics["samples/two_sample_p"] < 1e-6


def test_too_few_held_out_points_are_not_scored(tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(60, 2)))
    data = open_data(DataSpec(path=str(tmp_path / "few.npy")), 0)
    found = sample_scores(Faulty(data), data, "test")
    assert found.metrics == {}
    assert found.labels == {"samples": "not scored: 6 held-out points are too few"}
