"""The small frozen classifiers that samples of known image sets are scored by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from flowbench.data.module import DataInfo

HOME = Path(__file__).with_name("classifiers")
"""Where the weights lie, and beside each what is known of it."""

FEATURES = 64
BATCH = 1024
"""Images classified at once."""


class About(BaseModel):
    """What is known of a classifier; the file beside its weights."""

    model_config = ConfigDict(frozen=True)

    data: str
    """Name of the data set."""
    event_shape: tuple[int, int, int]
    levels: int
    label_names: tuple[str, ...]
    data_hash: str
    """Content hash of the data set, split by `data_seed`; it was trained on the training split."""
    data_seed: int
    seed: int
    """Of the initial weights and the order of training."""
    accuracy: float
    """Share of the test split that is put into its class by the weights as they are kept."""


class Network(nn.Module):
    """Two convolutions and two linear maps; the features are what the last one reads.

    Args:
        event_shape: ``(C, H, W)``, sides a multiple of four.
        levels: number of integer values of each pixel.
        classes: number of classes.
    """

    def __init__(self, event_shape: tuple[int, int, int], levels: int, classes: int) -> None:
        super().__init__()
        channels, height, width = event_shape
        self.levels = levels
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(32 * (height // 4) * (width // 4), FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes + 1)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of integer images ``(N, C, H, W)``, ``(N, F)``."""
        features: Tensor = self.body(x / (self.levels - 1))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the K classes and of showing none of them, ``(N, K + 1)``."""
        logits: Tensor = self.head(self.features(x))
        return logits


@dataclass(frozen=True)
class Judgement:
    """What a classifier makes of images.

    Attributes:
        confidence: probability of the likeliest class, ``(N,)``; 0 for an image that is none.
        features: ``(N, F)``; not finite for an image that is none.
    """

    confidence: Tensor
    features: Tensor


@dataclass(frozen=True)
class Classifier:
    """A classifier with what is known of it."""

    network: Network
    about: About

    @torch.no_grad()
    def judge(self, images: Tensor) -> Judgement:
        """Judge integer images ``(N, C, H, W)``, on the CPU."""
        features = torch.cat([self.network.features(x.float()) for x in images.split(BATCH)])
        confidence = self.network.head(features).softmax(1)[:, :-1].amax(1)
        return Judgement(confidence.nan_to_num(0.0), features)


def classifier_of(info: DataInfo) -> Classifier | None:
    """Return the classifier that was trained on this data set, None where there is none.

    A name is not enough: a user's own file may be called mnist.
    """
    path = HOME / f"{info.name}.json"
    if not path.is_file():
        return None
    about = About.model_validate_json(path.read_text(encoding="utf-8"))
    known = (about.event_shape, about.levels, about.label_names)
    if known != (info.event_shape, info.levels, info.label_names):
        return None
    network = Network(about.event_shape, about.levels, len(about.label_names))
    network.load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
    return Classifier(network.eval(), about)
