"""Published data sets, from a directory or by verified download."""

import os
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from flowbench.errors import InputError

MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_CHECKSUM = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MAF = "https://zenodo.org/record/1161203/files/data.tar.gz"
MAF_CHECKSUM = "md5:9b9c9b0375315ad270eba4ce80c093ab"

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


def data_home() -> Path | None:
    """Return the directory that `FLOWBENCH_DATA` names."""
    named = os.environ.get("FLOWBENCH_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise InputError(f"FLOWBENCH_DATA = {named}: no such directory")
    return Path(named)


def find(folders: Iterable[str], names: Iterable[str]) -> list[Path] | None:
    """Return the named files from the first folder under `FLOWBENCH_DATA` that has them all."""
    home = data_home()
    if home is None:
        return None
    for folder in folders:
        found = [home / folder / name for name in names]
        if all(path.is_file() for path in found):
            return found
    return None


def idx_files(folder: str, base: str) -> list[Path]:
    """Return the four IDX files of MNIST or Fashion-MNIST, fetched where they are not at hand."""
    names = [name.removesuffix(".gz") for name in IDX_NAMES]
    found = find((folder,), IDX_NAMES) or find((folder,), names)
    if found:
        return found
    return [
        fetch(base + name, f"sha256:{checksum}", folder)
        for name, checksum in zip(IDX_NAMES, SHA256[base], strict=True)
    ]


def fetch(address: str, checksum: str, folder: str) -> Path:
    """Download a file once, verified by its checksum, into the user's cache.

    Args:
        address: where it lies.
        checksum: `algorithm:digits`.
        folder: where under `FLOWBENCH_DATA` the file would be looked for, for the sentence.

    Raises:
        InputError: if it cannot be had, with where to put it instead.
    """
    import pooch

    name = address.rsplit("/", 1)[1]
    kept = f"{checksum.partition(':')[2][:8]}-{name}"
    try:
        path = pooch.retrieve(address, checksum, fname=kept, path=pooch.os_cache("flowbench"))
    except Exception as error:
        # requests, urllib3 and pooch each raise their own kind; the user's way on is the same.
        raise InputError(
            f"{name}: cannot be downloaded ({type(error).__name__}); set FLOWBENCH_DATA to a "
            f"directory with {folder}/ in it"
        ) from None
    return Path(path)


def unpacked(archive: Path, members: Iterable[str]) -> Path:
    """Return the folder beside an archive that holds these members of it, unpacked once.

    It appears as a whole or not at all, whatever other processes do at the same time.
    """
    folder = archive.with_name(archive.name.split(".")[0])
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        content = Path(work) / "content"
        with tarfile.open(archive) as packed:
            for member in members:
                packed.extract(member, content, filter="data")
        try:
            content.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    return folder
