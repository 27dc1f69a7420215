"""Reading tables: every format gives the same numbers, and what is wrong is named."""

import gzip
import io
import pickle

import numpy as np
import pandas as pd
import pytest

from flowbench.data.arrays import read_array, read_labels
from flowbench.data.files import locate
from flowbench.data.module import open_data
from flowbench.data.tables import numeric, read_table
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec

VALUES = np.array([[1.5, -2.0, 3e-3], [4.0, 5.25, -6e7], [0.1, 0.2, 0.3]])


def _write(path, frame: pd.DataFrame) -> None:
    name = path.name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".npy"):
        np.save(path, frame.to_numpy())
    elif name.endswith(".npz"):
        np.savez(path, frame.to_numpy())
    else:
        frame.to_csv(path, index=False, sep=" " if ".txt" in name else ",")


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.txt", "t.txt.gz", "t.parquet", "t.npy", "t.npz", "T.CSV"]
)
def test_every_format_gives_the_same_numbers(tmp_path, name: str) -> None:
    _write(tmp_path / name, pd.DataFrame(VALUES, columns=["a", "b", "c"]))
    table = read_table(tmp_path / name)
    assert np.array_equal(table.to_numpy(), VALUES)
    expected = ["0", "1", "2"] if name.endswith(("npy", "npz")) else ["a", "b", "c"]
    assert list(table.columns) == expected


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("1,2\n3,4\n", ["0", "1"], 2),
        ("a,b\n1,2\n3,4\n", ["a", "b"], 2),
        ("1,b\n3,4\n", ["1", "b"], 1),
        ('"a, b";c\n1;2\n', ["a, b", "c"], 1),
        ("a\tb\n1\t2\n", ["a", "b"], 1),
        ("\n\na,b\n1,2\n", ["a", "b"], 1),
        ("\ufeffa,b\n1,2\n", ["a", "b"], 1),
        ("a\n1\n2\n", ["a"], 2),
        ("1e-3, -inf\nnan,2\n", ["0", "1"], 2),
    ],
)
def test_a_header_is_a_first_row_with_a_cell_that_is_no_number(
    tmp_path, text: str, columns: list[str], rows: int
) -> None:
    (tmp_path / "t.csv").write_text(text)
    table = read_table(tmp_path / "t.csv")
    assert list(table.columns) == columns
    assert len(table) == rows


def test_blank_separated_columns_may_be_aligned(tmp_path) -> None:
    (tmp_path / "t.txt").write_text("  1.0   2\n 10.0  20\n")
    assert read_table(tmp_path / "t.txt").to_numpy().tolist() == [[1, 2], [10, 20]]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.csv", b"a,a\n1,2\n", "column 'a' appears twice"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells under 2 names"),
        ("t.csv", b"1,2\n3,4,5\n", "not a table: .*line 2"),
        ("t.csv", b"a,b\n", "empty; at least one row"),
        ("t.csv", b"\n \n", "empty; at least one row"),
        ("t.csv", b"caf\xe9,b\n1,2\n", "not a text table"),
        ("t.csv.gz", b"1,2\n", "not a text table: .*gzip"),
        ("t.csv.gz", gzip.compress(b"1,2\n" * 999, mtime=0)[:-30], "not a text table"),
        ("t.parquet", b"PAR1 and no more", "not a Parquet file"),
        ("t.xlsx", b"PK", "a table's file ends with one of .csv, "),
        ("t.npy", b"\x93NUMPY\x01\x00", "not a NumPy file"),
        ("t.npz", b"PK\x03\x04 cut off", "not a NumPy file"),
    ],
)
def test_files_that_are_no_tables_are_named(tmp_path, name, content, complaint) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: {complaint}"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("shape", [(5,), (5, 2, 2)])
def test_an_array_that_is_no_table_is_named_with_its_shape(tmp_path, shape) -> None:
    np.save(tmp_path / "t.npy", np.zeros(shape))
    with pytest.raises(InputError, match="a table is two-dimensional"):
        read_table(tmp_path / "t.npy")


def test_a_truncated_array_is_named(tmp_path) -> None:
    np.save(tmp_path / "t.npy", np.zeros((100, 3)))
    whole = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="not a NumPy file"):
        read_table(tmp_path / "t.npy")


class _Trap:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.mark.parametrize("save", [np.save, np.savez], ids=["npy", "npz"])
def test_object_arrays_are_refused_and_never_unpickled(tmp_path, monkeypatch, save) -> None:
    monkeypatch.chdir(tmp_path)
    held = io.BytesIO()
    save(held, np.array([_Trap(), 1.0], dtype=object))
    name = "t.npy" if save is np.save else "t.npz"
    (tmp_path / name).write_bytes(held.getvalue())
    with pytest.raises(InputError, match=f"{name}: holds pickled objects, which are never loaded"):
        read_table(tmp_path / name)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["t.csv", "t.npy", "t.npz", "t.parquet", "t.pkl"])
def test_pickles_are_refused_and_never_unpickled(tmp_path, monkeypatch, name, protocol) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(_Trap(), protocol))
    with pytest.raises(InputError, match=name):
        open_data(DataSpec(path=name), data_seed=0)
    assert not (tmp_path / "unpickled").exists()


def test_a_pickle_by_any_name_is_called_one(tmp_path) -> None:
    (tmp_path / "t.csv").write_bytes(pickle.dumps([1.0]))
    with pytest.raises(InputError, match=r"data.path = .*t.csv: a pickle, which is never loaded"):
        locate(str(tmp_path / "t.csv"))


def test_an_archive_gives_x_or_its_only_array_or_the_one_asked_for(tmp_path) -> None:
    one, two = np.zeros((3, 2)), np.ones((3, 2))
    np.savez(tmp_path / "X.npz", X=one, other=two)
    np.savez(tmp_path / "only.npz", whatever=two)
    np.savez(tmp_path / "many.npz", a=one, b=two)
    assert np.array_equal(read_array(tmp_path / "X.npz"), one)
    assert np.array_equal(read_array(tmp_path / "X.npz", "other"), two)
    assert np.array_equal(read_array(tmp_path / "only.npz"), two)
    with pytest.raises(InputError, match=r"many.npz: holds a, b; choose one with data.key"):
        read_array(tmp_path / "many.npz")
    with pytest.raises(InputError, match=r"data.key = 'c'; it holds: a, b"):
        read_array(tmp_path / "many.npz", "c")


def test_arrays_of_words_or_complex_numbers_are_refused(tmp_path) -> None:
    for array in (np.array(["a", "b"]), np.ones(2, complex)):
        np.save(tmp_path / "t.npy", array)
        with pytest.raises(InputError, match="an array of numbers is expected"):
            read_array(tmp_path / "t.npy")


def test_labels_of_an_archive_fit_its_rows_and_are_never_unpickled(tmp_path) -> None:
    np.savez(tmp_path / "t.npz", X=np.zeros((3, 2)), y=np.array([1, 0, 1]))
    labels = read_labels(tmp_path / "t.npz", 3)
    assert labels is not None
    assert labels.tolist() == [1, 0, 1]
    with pytest.raises(InputError, match=r"y has shape \(3,\); one label for each of 4 rows"):
        read_labels(tmp_path / "t.npz", 4)
    np.savez(tmp_path / "o.npz", X=np.zeros((3, 2)), y=np.array([{}, 1, 2], dtype=object))
    with pytest.raises(InputError, match="pickled objects"):
        read_labels(tmp_path / "o.npz", 3)
    np.savez(tmp_path / "n.npz", X=np.zeros((3, 2)))
    assert read_labels(tmp_path / "n.npz", 3) is None


def _frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(20.0), **columns})


def test_the_first_missing_value_is_named_by_row_and_column() -> None:
    frame = _frame(b=np.ones(20))
    frame.loc[[16, 18], "b"] = np.nan
    with pytest.raises(InputError, match=r"f.csv: NaN in row 17, column 'b' \(2 such rows\)"):
        numeric(frame, "f.csv", drop_rows=False)
    kept = numeric(frame, "f.csv", drop_rows=True)
    assert len(kept) == 18
    assert kept.index.tolist() == [i for i in range(20) if i not in (16, 18)]


def test_infinity_is_named_too() -> None:
    frame = _frame()
    frame.loc[4, "a"] = -np.inf
    with pytest.raises(InputError, match="infinity in row 5, column 'a'"):
        numeric(frame, "f.csv", drop_rows=False)


def test_nothing_but_missing_values_is_refused_even_when_rows_may_be_dropped() -> None:
    with pytest.raises(InputError, match="every row has a missing or infinite value"):
        numeric(_frame(b=np.full(20, np.nan)), "f.csv", drop_rows=True)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (["1"] * 11 + ["?"] + ["2"] * 8, r"text \(row 12: '\?'\)"),
        ([None, "x"] * 10, r"text \(row 2: 'x'\)"),
        (pd.date_range("2026-01-01", periods=20), "datetime64.* values"),
        (pd.Categorical(["u", "v"] * 10), r"text \(row 1: 'u'\)"),
        (pd.Categorical([1, 2] * 10), "category values"),
        (["1", "2"] * 10, "numbers stored as str"),
    ],
)
def test_columns_of_anything_but_numbers_are_named(column, what) -> None:
    with pytest.raises(InputError, match=rf"f.csv: column 'b' holds {what}; leave it out with"):
        numeric(_frame(b=column), "f.csv", drop_rows=True)


def test_nullable_integers_and_booleans_are_numbers() -> None:
    frame = _frame(b=pd.array([1, None] * 10, dtype="Int64"), c=[True, False] * 10)
    with pytest.raises(InputError, match="NaN in row 2, column 'b'"):
        numeric(frame, "f.parquet", drop_rows=False)
    assert numeric(frame, "f.parquet", drop_rows=True)[["b", "c"]].to_numpy().all()
