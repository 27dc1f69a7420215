from dataclasses import replace

import numpy as np
import pytest
import torch

from flowbench.data.module import FlowData, open_data
from flowbench.data.source import Rows, parts_as_given
from flowbench.evaluation import classifier, train_classifiers
from flowbench.evaluation.classifier import HOME, classifier_of
from flowbench.evaluation.train_classifiers import STEPS, shuffled, train_classifier, whole, write
from flowbench.spec.run import DataSpec


def test_the_committed_classifiers_are_below_a_megabyte():
    files = {path.name: path.stat().st_size for path in HOME.iterdir()}
    assert sorted(files) == sorted(f"{name}.{end}" for name in STEPS for end in ("json", "pt"))
    assert sum(files.values()) < 1e6


def test_the_digits_classifier_is_as_good_as_it_says(digits):
    assert_as_good_as_it_says(digits, at_least=0.97)


@pytest.mark.data
@pytest.mark.parametrize(("name", "at_least"), [("mnist", 0.99), ("fashion-mnist", 0.9)])
def test_classifiers_of_whole_data_sets_are_as_good_as_they_say(name, at_least):
    assert_as_good_as_it_says(open_data(DataSpec(name=name), 0), at_least)


def assert_as_good_as_it_says(data, at_least):
    known = classifier_of(data.info)
    about = known.about
    assert (about.data_seed, about.data_hash) == (0, data.info.content_hash)
    images, label = whole(data, "test")
    with torch.no_grad():
        found = known.network(images)[:, :-1].argmax(1)
    right = (found == label).double().mean()
    assert right >= at_least
    # Another processor may round one image in a thousand to another class.
    assert about.accuracy == pytest.approx(float(right), abs=1e-3)


def test_training_makes_a_classifier_that_reads_digits_and_refuses_noise(digits):
    trained = train_classifier(digits, steps=200)
    judged = trained.judge(whole(digits, "test")[0])
    assert trained.about.accuracy > 0.9
    assert judged.confidence.mean() > 0.8
    assert judged.features.shape == (360, 64)
    noise = torch.randint(17, (200, 1, 8, 8)).float()
    assert trained.judge(noise).confidence.max() < 0.5


def test_nothing_but_the_training_split_is_learnt(digits):
    """Other images and labels held out, the same weights."""
    train = digits.source.splits["train"]
    blank = Rows(np.zeros((50, 1, 8, 8), np.uint8), label=np.zeros(50, np.int64))
    parts = parts_as_given({"validation": blank, "test": blank}) | {"train": train}
    spoilt = FlowData(replace(digits.source, splits=parts), digits.preprocess_steps, 256)
    one, other = (train_classifier(data, steps=20).network for data in (digits, spoilt))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_classifier_that_is_written_judges_the_same_when_it_is_read(
    digits, tmp_path, monkeypatch
):
    for module in (classifier, train_classifiers):
        monkeypatch.setattr(module, "HOME", tmp_path / "classifiers")
    trained = train_classifier(digits, steps=20)
    assert classifier_of(digits.info) is None
    write(trained)
    again = classifier_of(digits.info)
    assert again.about == trained.about
    images = whole(digits, "test")[0]
    for one, other in zip(
        vars(trained.judge(images)).values(), vars(again.judge(images)).values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "other", [{"levels": 256}, {"event_shape": (1, 28, 28)}, {"label_names": ()}, {"name": "faces"}]
)
def test_a_data_set_that_differs_in_anything_has_no_classifier(digits, other):
    assert classifier_of(digits.info) is not None
    assert classifier_of(replace(digits.info, **other)) is None


@pytest.mark.parametrize("grid", [2, 4, 8])
def test_shuffled_tiles_are_the_tiles_of_the_image(grid):
    images = torch.arange(3 * 2 * 64.0).view(3, 2, 8, 8)
    side = 8 // grid
    found = shuffled(images, grid)

    def tiles(image):
        return {
            tuple(image[:, r : r + side, c : c + side].flatten().tolist())
            for r in range(0, 8, side)
            for c in range(0, 8, side)
        }

    for one, other in zip(images, found, strict=True):
        assert tiles(one) == tiles(other)
        assert not torch.equal(one, other)
