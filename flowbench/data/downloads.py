"""Published data sets, from a directory or by verified download."""

import os
from pathlib import Path

from flowbench.errors import InputError

MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR = "https://www.cs.toronto.edu/~kriz/"

IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

SHA256 = {
    MNIST: (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    FASHION: (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
CIFAR_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def data_home() -> Path | None:
    """Return the directory that `FLOWBENCH_DATA` names."""
    named = os.environ.get("FLOWBENCH_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise InputError(f"FLOWBENCH_DATA = {named}: no such directory")
    return Path(named)


def find(folders: tuple[str, ...], names: tuple[str, ...]) -> list[Path] | None:
    """Return the named files from the first folder under `FLOWBENCH_DATA` that has them all."""
    home = data_home()
    for folder in folders if home else ():
        found = [home / folder / name for name in names]  # type: ignore[operator]
        if all(path.is_file() for path in found):
            return found
    return None


def idx_files(folder: str, base: str) -> list[Path]:
    """Return the four IDX files of MNIST or Fashion-MNIST, fetched where they are not at hand."""
    names = tuple(name.removesuffix(".gz") for name in IDX_NAMES)
    found = find((folder,), IDX_NAMES) or find((folder,), names)
    if found:
        return found
    return [fetch(base + name, sha) for name, sha in zip(IDX_NAMES, SHA256[base], strict=True)]


def fetch(address: str, sha256: str) -> Path:
    """Download a file once, verified by its checksum, into the user's cache.

    Raises:
        InputError: if it cannot be had, with where to put it instead.
    """
    import pooch

    name = address.rsplit("/", 1)[1]
    folder = pooch.os_cache("flowbench")
    try:
        kept = pooch.retrieve(
            address, f"sha256:{sha256}", fname=f"{sha256[:8]}-{name}", path=folder
        )
    except Exception as error:
        # requests, urllib3 and pooch each raise their own kind; the user's way on is the same.
        raise InputError(
            f"{name}: cannot be downloaded ({type(error).__name__}); put it under the directory"
            " that FLOWBENCH_DATA names"
        ) from None
    return Path(kept)
