"""Reading a user's table; what is wrong with it is named by column and row."""

import gzip
import io
import pickle
from pathlib import Path

import numpy as np
import pandas as pd

from flowbench.data.arrays import read_array
from flowbench.errors import InputError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".parquet", ".npy", ".npz")
"""What a table's file name may end with."""


def read_table(path: Path, key: str | None = None) -> pd.DataFrame:
    """Read a file as a frame whose columns are named by text.

    `.csv` is separated by commas, semicolons or tabs, `.txt` by blanks; a header is a first row
    with a cell that is no number. `.npy` and `.npz` hold a two-dimensional array of numbers.

    Raises:
        InputError: if the file is empty, has another format, or is no table.
    """
    name = path.name.lower()
    if name.endswith((".npy", ".npz")):
        array = read_array(path, key)
        if array.ndim != 2:
            raise InputError(f"{path}: shape {array.shape}; a table is two-dimensional")
        frame = pd.DataFrame(array)
    elif name.endswith(".parquet"):
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a Parquet file: {error}") from None
    elif name.endswith((".csv", ".csv.gz", ".txt", ".txt.gz")):
        frame = _read_text(path, blanks=".txt" in name)
    else:
        raise InputError(f"{path}: a table's file ends with one of {', '.join(SUFFIXES)}")
    if frame.empty:
        raise InputError(f"{path}: empty; at least one row and one column are needed")
    frame.columns = pd.Index([str(column) for column in frame.columns])
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{path}: column {twice!r} appears twice")
    return frame


def _read_text(path: Path, *, blanks: bool) -> pd.DataFrame:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text table: {error}") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise InputError(f"{path}: empty; at least one row and one column are needed")
    counts = {mark: first.count(mark) for mark in ",;\t"}
    separator = r"\s+" if blanks else max(counts, key=counts.__getitem__)
    cells = first.split() if blanks else first.split(separator)
    header = None if all(_is_number(cell) for cell in cells) else 0
    try:
        return pd.read_csv(io.StringIO(text), sep=separator, header=header, skipinitialspace=True)
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path}: not a table: {' '.join(str(error).split())}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"') or "nan")
    except ValueError:
        return False
    return True


def is_pickle(path: Path) -> bool:
    """Tell whether a file starts as a pickle does (protocol 2 on); such files are never read."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[:1] == pickle.PROTO and start[1] <= pickle.HIGHEST_PROTOCOL


def numeric(frame: pd.DataFrame, source: str, *, drop_rows: bool) -> pd.DataFrame:
    """Return the columns as float64, or name what stands in the way.

    Args:
        frame: the columns to be modelled or conditioned on.
        source: the file, for the sentence.
        drop_rows: drop rows with a missing or infinite value instead of refusing them.

    Raises:
        InputError: for a text column, a missing or infinite value, or a constant column.
    """
    for column in frame:
        if not (pd.api.types.is_numeric_dtype(frame[column])):
            values = pd.to_numeric(frame[column], errors="coerce")
            wrong = int(np.flatnonzero(values.isna() & frame[column].notna())[:1].sum())
            raise InputError(
                f"{source}: column {column!r} holds text (row {wrong + 1}: "
                f"{frame[column].iloc[wrong]!r}); leave it out with data.drop_columns=[{column}]"
            )
    values = frame.astype(np.float64)
    broken = ~np.isfinite(values.to_numpy())
    if broken.any():
        if not drop_rows:
            row, column_index = np.argwhere(broken)[0]
            what = "NaN" if np.isnan(values.iloc[row, column_index]) else "infinity"
            raise InputError(
                f"{source}: {what} in row {row + 1}, column {values.columns[column_index]!r}; "
                f"{int(broken.any(1).sum())} such rows; drop them with data.drop_rows=true"
            )
        values = values[~broken.any(1)]
        if values.empty:
            raise InputError(f"{source}: every row has a missing or infinite value")
    for column in values:
        if values[column].nunique() == 1:
            raise InputError(
                f"{source}: column {column!r} is constant ({values[column].iloc[0]:g}); "
                f"leave it out with data.drop_columns=[{column}]"
            )
    return values
