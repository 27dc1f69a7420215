"""Small data sets in the official formats, and a home for state."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FILES = Path(__file__).parent / "files"


@pytest.fixture(autouse=True)
def _no_state_and_no_data(tmp_path_factory, monkeypatch, request):
    """Keep baselines out of the working directory, and the user's own data sets out of the way."""
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path_factory.getbasetemp() / "runs"))
    if "data" not in request.keywords:
        monkeypatch.delenv("FLOWBENCH_DATA", raising=False)


@pytest.fixture
def few_digits(monkeypatch) -> Path:
    """A directory with the first 300 training and 100 test digits of MNIST."""
    monkeypatch.setenv("FLOWBENCH_DATA", str(FILES))
    return FILES


@pytest.fixture
def measurements() -> np.ndarray:
    """A table of 400 rows and 3 columns: correlated, far from zero, of different scales."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((400, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0.3], [0, 0, 1.0]])
    return x * [1.0, 1e3, 1e-2] + [5.0, -1e4, 0.0]


@pytest.fixture
def write_pictures(tmp_path):
    """Return a function that writes random pictures, 6 x 5 pixels or as told, below a folder."""

    def write(names: list[str], size: tuple[int, int] = (6, 5), mode: str = "L") -> Path:
        generator = np.random.default_rng(len(names))
        for name in names:
            path = tmp_path / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
            pixels = generator.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels, mode).save(path)
        return tmp_path / "pictures"

    return write
