"""Reading a user's table; what is wrong with it is named by column and row."""

import csv
import gzip
import io
import pickle
import zlib
from pathlib import Path
from typing import Any

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
    return frame.reset_index(drop=True)


def _read_text(path: Path, *, blanks: bool) -> pd.DataFrame:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text table: {error}") from None
    lines = [line for line in text[: 1 << 20].splitlines() if line.strip()][:2]
    if not lines:
        raise InputError(f"{path}: empty; at least one row and one column are needed")
    separator = max(",;\t", key=lambda mark: len(_cells(lines[0], mark)))
    cells = [line.split() if blanks else _cells(line, separator) for line in lines]
    header = None if all(_is_number(cell) for cell in cells[0]) else 0
    if header == 0:
        _check_header(path, cells)
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if blanks else separator,
            header=header,
            index_col=False,
            skipinitialspace=True,
            low_memory=False,  # a column's type is judged by the whole of it
        )
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path}: not a table: {' '.join(str(error).split())}") from None


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _check_header(path: Path, cells: list[list[str]]) -> None:
    """Refuse what pandas would mend in silence: a name twice, or fewer names than cells."""
    names = cells[0]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} appears twice")
    if len(cells) > 1 and len(cells[1]) > len(names):
        raise InputError(f"{path}: row 1 has {len(cells[1])} cells under {len(names)} names")


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip() or "nan")
    except ValueError:
        return False
    return True


def is_pickle(path: Path) -> bool:
    """Tell whether a file starts as a pickle does (protocol 2 on); such files are never read."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[:1] == pickle.PROTO and start[1] <= pickle.HIGHEST_PROTOCOL


def numeric(frame: pd.DataFrame, source: str, *, drop_rows: bool) -> pd.DataFrame:
    """Return the columns as float64, or name what stands in the way; rows keep their labels.

    Args:
        frame: the columns to be modelled or conditioned on, rows labelled from 0.
        source: the file, for the sentence.
        drop_rows: drop rows with a missing or infinite value instead of refusing them.

    Raises:
        InputError: for a column that holds no numbers, or a missing or infinite value.
    """
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise InputError(
                f"{source}: column {name!r} holds {_what_it_holds(frame[name])}; "
                f"leave it out with data.drop_columns=[{name}]"
            )
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    broken = ~np.isfinite(values)
    bad = broken.any(1)
    if bad.all():
        raise InputError(f"{source}: every row has a missing or infinite value")
    if bad.any() and not drop_rows:
        row, column = np.argwhere(broken)[0]
        what = "NaN" if np.isnan(values[row, column]) else "infinity"
        raise InputError(
            f"{source}: {what} in row {row + 1}, column {frame.columns[column]!r} "
            f"({int(bad.sum()):,} such rows); drop them with data.drop_rows=true"
        )
    return pd.DataFrame(values[~bad], columns=frame.columns, index=np.flatnonzero(~bad))


def _what_it_holds(column: "pd.Series[Any]") -> str:
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return f"{column.dtype} values"
    words = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if not words.any():
        return f"numbers stored as {column.dtype}"
    row = int(np.flatnonzero(words)[0])
    return f"text (row {row + 1}: {column.iloc[row]!r})"


def refuse_constant(values: pd.DataFrame, source: str) -> None:
    """Refuse a column with a single value: its density is no function.

    Raises:
        InputError: naming the column.
    """
    for name in values.columns:
        if values[name].nunique() == 1:
            raise InputError(
                f"{source}: column {name!r} is constant ({values[name].iloc[0]:g}); "
                f"leave it out with data.drop_columns=[{name}]"
            )
