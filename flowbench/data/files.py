"""A user's own files as a data set: found, and told apart by what they hold."""

from pathlib import Path

from flowbench.data.arrays import read_array
from flowbench.data.downloads import data_home
from flowbench.data.source import Source
from flowbench.data.tables import is_pickle
from flowbench.data.user_images import image_source
from flowbench.data.user_tables import table_source
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec


def locate(text: str, key: str = "data.path") -> Path:
    """Return the file or folder: as given, else under `FLOWBENCH_DATA` or its `tabular/`.

    Raises:
        InputError: if there is none, it is empty, or it is a pickle.
    """
    home = data_home()
    places = [Path(text)]
    if home is not None and not Path(text).is_absolute():
        places += [home / text, home / "tabular" / text]
    for place in places:
        if place.is_dir():
            return place
        if place.is_file():
            if place.stat().st_size == 0:
                raise InputError(f"{key} = {text}: empty file")
            if is_pickle(place):
                raise InputError(f"{key} = {text}: a pickle, which is never loaded; convert it")
            return place
    raise InputError(f"{key} = {text}: no such file or folder")


def from_files(spec: DataSpec, data_seed: int) -> Source:
    """Read what `data.path`, or `data.train`, `validation` and `test`, name.

    Raises:
        InputError: for whatever is wrong with a file, by column and row.
    """
    given = {"path": spec.path}
    if spec.train is not None:
        given = {"train": spec.train, "validation": spec.validation, "test": spec.test}
        if spec.group is not None:
            raise InputError("data.group: for data.path only; the three files are the split")
    paths = {key: locate(str(text), f"data.{key}") for key, text in given.items()}
    name = next(iter(paths.values())).resolve().name.split(".")[0]
    if all(_holds_images(path, spec.key) for path in paths.values()):
        return image_source(name, paths, spec, data_seed)
    return table_source(name, paths, spec, data_seed)


def _holds_images(path: Path, key: str | None) -> bool:
    return path.is_dir() or (path.suffix in (".npy", ".npz") and read_array(path, key).ndim > 2)
