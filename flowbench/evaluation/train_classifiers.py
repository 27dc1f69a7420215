"""Train the frozen classifiers that samples are scored by, and write them into the package.

``python -m flowbench.evaluation.train_classifiers``: about ten minutes on one core; the data come
from FLOWBENCH_DATA, or by verified download.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from flowbench.data.module import FlowData, open_data
from flowbench.evaluation.classifier import HOME, About, Classifier, Network
from flowbench.run_directory.files import write_atomically
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import Split

STEPS = {"digits": 2000, "mnist": 3000, "fashion-mnist": 4000}
"""Batches that each classifier is trained on."""
BATCH = 128
LEARNING_RATE = 3e-3
DATA_SEED = 0
SEED = 0


def train_classifier(data: FlowData, steps: int, seed: int = SEED) -> Classifier:
    """Train on the training split; measure on the test split, with the weights rounded to float16.

    Beside the images of a batch stand half as many that show nothing, in a class of their own.
    Without them a network is certain of nearly any noise, and its confidence says nothing of a
    sample; told instead to be in doubt about them (Hendrycks et al. 2019) it puts them next to the
    doubtful real ones, where precision finds them real.

    Args:
        data: images with labels.
        steps: batches to train on.
        seed: of the initial weights and of everything drawn.
    """
    torch.manual_seed(seed)
    info, classes = data.info, len(data.info.label_names)
    channels, height, width = info.event_shape
    assert info.levels is not None
    network = Network((channels, height, width), info.levels, classes)
    images, label = whole(data, "train")
    nothing = torch.full((BATCH // 2,), classes)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,))
        x = torch.cat([images[chosen], outliers(images[chosen[: BATCH // 2]], network.levels)])
        loss = cross_entropy(network(x), torch.cat([label[chosen], nothing]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.half().float().eval()
    images, label = whole(data, "test")
    with torch.no_grad():
        accuracy = float((network(images)[:, :classes].argmax(1) == label).double().mean())
    about = About(
        data=info.name,
        event_shape=(channels, height, width),
        levels=network.levels,
        label_names=info.label_names,
        data_hash=info.content_hash,
        data_seed=DATA_SEED,
        seed=seed,
        accuracy=accuracy,
    )
    return Classifier(network, about)


def whole(data: FlowData, split: Split) -> tuple[Tensor, Tensor]:
    """Return the integer images of a split, ``(N, C, H, W)``, and their labels, ``(N,)``."""
    part = data.split(split)
    batch = part[list(range(len(part)))]
    assert batch.label is not None
    return batch.x, batch.label


def outliers(images: Tensor, levels: int) -> Tensor:
    """Make as many images of no class out of images; of five kinds.

    Uniform noise; flat grey; an image's pixels in any order; its tiles in any order, which keeps
    strokes and has no form; each pixel from an image of its own, which keeps form and no strokes.
    """
    uniform, flat, pixels, tiles, mixed = images.tensor_split(5)
    source = torch.randint(len(images), mixed.shape)
    return torch.cat(
        [
            torch.randint_like(uniform, levels),
            torch.randint_like(flat[:, :1, :1, :1], levels).expand_as(flat),
            shuffled(pixels, pixels.shape[-1]),
            shuffled(tiles, 4),
            images.gather(0, source),
        ]
    )


def shuffled(images: Tensor, grid: int) -> Tensor:
    """Cut each image into ``grid x grid`` tiles and put them together in a random order."""
    n, channels, height, width = images.shape
    tiles = images.unflatten(3, (grid, width // grid)).unflatten(2, (grid, height // grid))
    rows = tiles.permute(0, 2, 4, 1, 3, 5).reshape(n, grid * grid, -1)
    order = torch.rand(n, grid * grid).argsort(1)
    rows = rows.gather(1, order[..., None].expand_as(rows))
    tiles = rows.view(n, grid, grid, channels, height // grid, width // grid)
    whole_again: Tensor = tiles.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
    return whole_again


def write(classifier: Classifier) -> None:
    """Write the weights in float16, and what is known of them beside."""
    HOME.mkdir(exist_ok=True)
    path = HOME / f"{classifier.about.data}.pt"
    weights = {name: value.half() for name, value in classifier.network.state_dict().items()}
    torch.save(weights, path)
    write_atomically(path.with_suffix(".json"), classifier.about.model_dump_json(indent=2) + "\n")


def main() -> None:
    """Train each classifier, and say how good it is."""
    for name, steps in STEPS.items():
        classifier = train_classifier(open_data(DataSpec(name=name), DATA_SEED), steps)
        write(classifier)
        print(f"{name}: {100 * classifier.about.accuracy:.2f} % of the test images right")


if __name__ == "__main__":
    main()
