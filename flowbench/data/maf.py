"""The tabular suite of Papamakarios et al. 2017, split and scaled as published.

Source: "Masked autoregressive flow for density estimation", section 4.2 and appendix D; the files
are those of its archive (https://zenodo.org/record/1161203). Every paper that quotes nats on these
tables uses this preparation: the last tenth of the rows is the test set, the last tenth of the
others is for validation, and both are in units of the mean and deviation of those others. The
split is part of the published benchmark, so `data_seed` has no say in it.
"""

from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowbench.data.arrays import read_array
from flowbench.data.downloads import MAF, MAF_CHECKSUM, fetch, find, unpacked
from flowbench.data.source import Rows, Source, parts_as_given
from flowbench.errors import InputError
from flowbench.spec.vocabulary import Split

Table = NDArray[np.float64]

MEMBERS = (
    "power/data.npy",
    "hepmass/1000_train.csv",
    "hepmass/1000_test.csv",
    "miniboone/data.npy",
    "BSDS300/BSDS300.hdf5",
)

REPEATED = 5
"""A HEPMASS column whose smallest value occurs more often than this counts as discrete."""


def power() -> Source:
    """Household electric power, 6 columns; noise of each meter's resolution added, as published."""
    (path,) = _files("power/data.npy")
    table = _matrix(path, 8)
    generator = np.random.RandomState(42)  # the published order and noise
    generator.shuffle(table)
    table = np.delete(table, [1, 3], axis=1)
    count = len(table)
    voltage = 0.01 * generator.rand(count, 1)
    active_power = 0.001 * generator.rand(count, 1)
    meters = generator.rand(count, 3)
    table += np.hstack((active_power, voltage, meters, np.zeros((count, 1))))
    warning = "uniform noise of each meter's resolution was added to five columns, as published"
    return _source("power", *_standardised(*_split(table)), warnings=(warning,))


def gas() -> NoReturn:
    """Refuse GAS, which is published in no other form than a pickle."""
    raise InputError(
        "data.name = 'gas': published only as a pickle (ethylene_CO.pickle), which is never "
        "loaded; convert it to .parquet yourself and name that by data.path"
    )


def hepmass() -> Source:
    """Signal events of HEPMASS at mass 1000, 21 columns without the discrete ones."""
    paths = _files("hepmass/1000_train.csv", "hepmass/1000_test.csv")
    frames = [pd.read_csv(path, index_col=False) for path in paths]
    rest, test = (
        frame[frame.iloc[:, 0] == 1].iloc[:, 1:].to_numpy(dtype=np.float64) for frame in frames
    )
    test = test[:, : rest.shape[1]]  # the published test file has a column too many
    mean, deviation = rest.mean(0), rest.std(0, ddof=1)
    rest, test = (rest - mean) / deviation, (test - mean) / deviation
    continuous = (rest == rest.min(0)).sum(0) <= REPEATED
    train, validation = _hold_out_last_tenth(rest[:, continuous])
    return _source("hepmass", train, validation, test[:, continuous])


def miniboone() -> Source:
    """Electron neutrinos against background, 43 columns."""
    (path,) = _files("miniboone/data.npy")
    return _source("miniboone", *_standardised(*_split(_matrix(path))))


def bsds300() -> Source:
    """Patches of natural images less their mean, 63 columns; the parts are the file's own."""
    (path,) = _files("BSDS300/BSDS300.hdf5")
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{path}: reading HDF5 needs h5py: pip install 'flowbench[hdf5]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            train, validation, test = (file[part][:] for part in ("train", "validation", "test"))
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: not the BSDS300 file of the suite: {error}") from None
    return _source("bsds300", train, validation, test)


def _files(*names: str) -> list[Path]:
    """Return files of the archive: under `FLOWBENCH_DATA/maf`, or fetched."""
    found = find(("maf", "maf/data"), names)
    if found:
        return found
    archive = fetch(MAF, MAF_CHECKSUM, "maf/data")
    folder = unpacked(archive, [f"data/{member}" for member in MEMBERS])
    return [folder / "data" / name for name in names]


def _matrix(path: Path, columns: int | None = None) -> Table:
    """Read a two-dimensional array, into memory."""
    table = np.array(read_array(path), dtype=np.float64)
    if table.ndim != 2 or (columns is not None and table.shape[1] != columns):
        raise InputError(f"{path}: shape {table.shape}; a table of {columns or 43} columns")
    return table


def _hold_out_last_tenth(table: Table) -> tuple[Table, Table]:
    kept = len(table) - len(table) // 10
    return table[:kept], table[kept:]


def _split(table: Table) -> tuple[Table, Table, Table]:
    rest, test = _hold_out_last_tenth(table)
    return *_hold_out_last_tenth(rest), test


def _standardised(train: Table, validation: Table, test: Table) -> tuple[Table, Table, Table]:
    """Return the parts in units of the mean and deviation of training and validation rows."""
    rest = np.concatenate((train, validation))
    mean, deviation = rest.mean(0), rest.std(0)
    return (train - mean) / deviation, (validation - mean) / deviation, (test - mean) / deviation


def _source(
    name: str, train: Table, validation: Table, test: Table, warnings: tuple[str, ...] = ()
) -> Source:
    parts: dict[Split, Table] = {"train": train, "validation": validation, "test": test}
    return Source(
        name,
        "table",
        parts_as_given({split: Rows(x.astype(np.float32)) for split, x in parts.items()}),
        columns=tuple(f"x{i + 1}" for i in range(train.shape[1])),
        warnings=warnings,
    )
