"""A user's files as a data set: roles of columns, splits, warnings."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flowbench.data.module import FlowData, open_data
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec


@pytest.fixture
def table(tmp_path, measurements):
    """A CSV file with columns a, b, c, a few duplicate rows, a group and a label."""
    frame = pd.DataFrame(measurements, columns=["a", "b", "c"])
    frame["patient"] = np.arange(400) // 8
    frame["kind"] = np.where(frame["a"] > 5, "high", "low")
    copied = ["a", "b", "c", "kind"]
    frame.loc[[10, 200, 399], copied] = frame.loc[[0, 0, 0], copied].to_numpy()
    frame.to_csv(tmp_path / "visits.csv", index=False)
    return tmp_path / "visits.csv"


def _open(path, **keys) -> FlowData:
    return open_data(DataSpec(path=str(path), **keys), data_seed=0)


def _values(data: FlowData, split) -> np.ndarray:
    return data.source.splits[split].take(slice(None)).x


def test_columns_are_modelled_conditioned_on_labelled_or_left_out(table) -> None:
    data = _open(table, context=["b"], label="kind", drop_columns=["patient"])
    assert data.info.columns == ("a", "c")
    assert data.info.event_shape == (2,)
    assert data.info.context_size == 1
    assert data.info.label_names == ("high", "low")
    frame = pd.read_csv(table)
    batch = data.split("test")[[0, 1, 2]]
    original = frame.iloc[batch.row.tolist()]
    assert batch.context is not None
    assert batch.label is not None
    assert np.allclose(batch.x, original[["a", "c"]], rtol=1e-6)
    assert np.allclose(batch.context, original[["b"]], rtol=1e-6)
    assert [("high", "low")[i] for i in batch.label] == original["kind"].tolist()


def test_duplicates_stay_in_one_split_and_are_counted(table) -> None:
    data = _open(table, drop_columns=["patient", "kind"])
    assert data.info.warnings[0].startswith("3 duplicate rows; duplicates are kept in one split")
    homes = [s for s in data.info.sizes if np.isin([0, 10], data.source.splits[s].row).any()]
    assert len(homes) == 1
    assert np.isin([0, 10, 200, 399], data.source.splits[homes[0]].row).all()


def test_few_distinct_rows_make_unequal_splits_and_that_is_said(tmp_path) -> None:
    np.save(tmp_path / "t.npy", np.random.default_rng(0).integers(0, 6, (500, 2)))
    assert _open(tmp_path / "t.npy").info.warnings[0] == (
        "464 duplicate rows; duplicates are kept in one split, so the splits differ in distribution"
    )


def test_a_group_stays_in_one_split_and_so_do_duplicates_across_groups(table) -> None:
    data = _open(table, group="patient", label="kind")
    patients = pd.read_csv(table)["patient"].to_numpy()
    seen = [set(patients[data.source.splits[split].row]) for split in data.info.sizes]
    assert all(seen)
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    # Rows 0, 10, 200 and 399 are copies, so these patients belong together.
    assert sum(not part.isdisjoint({0, 1, 25, 49}) for part in seen) == 1
    assert data.info.columns == ("a", "b", "c")


def test_the_files_of_three_parts_are_the_split(tmp_path, measurements) -> None:
    sizes = {"train": 300, "validation": 60, "test": 40}
    stops = np.cumsum(list(sizes.values()))
    paths = {}
    for split, part in zip(sizes, np.split(measurements, stops[:-1]), strict=True):
        paths[split] = str(tmp_path / f"{split}.npy")
        np.save(paths[split], part)
    data = open_data(DataSpec(**paths), data_seed=0)
    assert data.info.sizes == sizes
    assert np.array_equal(_values(data, "test"), measurements[360:])
    assert data.source.splits["test"].row.tolist() == list(range(360, 400))
    assert data.info.warnings == ()
    np.save(paths["test"], np.concatenate([measurements[:2], measurements[360:]]))
    leaky = open_data(DataSpec(**paths), data_seed=0)
    assert leaky.info.warnings == ("2 rows of test are in the training part too",)
    with pytest.raises(InputError, match=r"data.group: for data.path only"):
        open_data(DataSpec(**paths, group="0"), data_seed=0)
    np.save(paths["test"], measurements[360:, :2])
    with pytest.raises(InputError, match="the files' columns differ"):
        open_data(DataSpec(**paths), data_seed=0)


def test_a_row_that_is_wrong_in_one_of_three_files_is_named_by_its_file(tmp_path) -> None:
    good = np.random.default_rng(0).standard_normal((50, 2))
    bad = good.copy()
    bad[16, 1] = np.nan
    for split, part in (("train", good), ("validation", bad), ("test", good)):
        np.savetxt(tmp_path / f"{split}.csv", part, delimiter=",")
    with pytest.raises(InputError, match=r"validation.csv: NaN in row 17, column '1'"):
        open_data(
            DataSpec(**{s: str(tmp_path / f"{s}.csv") for s in ("train", "validation", "test")}),
            data_seed=0,
        )


def test_labels_of_an_archive_are_no_column(tmp_path, measurements) -> None:
    np.savez(tmp_path / "t.npz", X=measurements, y=np.array(["u", "v"] * 200))
    data = _open(tmp_path / "t.npz")
    assert data.info.event_shape == (3,)
    assert data.info.label_names == ("u", "v")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            {"context": ["nope"]},
            "data.context = nope: no such column; it has a, b, c, patient, kind",
        ),
        ({"label": "nope"}, "data.label = nope: no such column"),
        ({"group": "nope"}, "data.group = nope: no such column"),
        ({"drop_columns": ["nope"]}, "data.drop_columns = nope: no such column"),
        ({}, r"column 'kind' holds text \(row 1: '(high|low)'\)"),
        ({"drop_columns": ["a", "b", "c", "patient", "kind"]}, "no column is left to model"),
        ({"label": "kind", "dequantise": ["a"]}, "data.dequantise = a: it holds fractions"),
        ({"label": "kind", "dequantise": ["z"]}, "data.dequantise = z: not among the modelled"),
        ({"label": "kind", "train_size": 321}, "data.train_size = 321: the training split has 320"),
        ({"label": "kind", "preprocess": [{"name": "squash"}]}, "name = 'squash'; allowed: scale"),
        (
            {"label": "kind", "preprocess": [{"name": "logit"}]},
            "logit is not finite on visits, train",
        ),
    ],
)
def test_keys_that_do_not_fit_the_table_are_named(table, keys, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        _open(table, **keys)


def test_integer_columns_are_dequantised_on_request(table) -> None:
    data = _open(table, label="kind", dequantise=True)
    assert data.source.dequantised == (3,)
    assert data.info.data_label == "dequantised"
    batch = next(iter(data.batches("test")))
    assert ((batch.x[:, 3] % 1) > 0).all()
    assert np.array_equal(batch.x[:, :3], _values(data, "test")[:, :3].astype(np.float32))
    assert _open(table, label="kind").info.data_label == "density"


def test_integers_too_large_for_noise_are_refused(tmp_path, measurements) -> None:
    measurements[:, 2] = 3_000_000 + np.arange(400)
    np.save(tmp_path / "t.npy", measurements)
    with pytest.raises(InputError, match=r"dequantise = 2: integers up to 3000399 leave single"):
        _open(tmp_path / "t.npy", dequantise=["2"])
    with pytest.raises(InputError, match="no column holds integers"):
        _open(tmp_path / "t.npy", dequantise=True, drop_columns=["2"])


def test_a_constant_column_is_refused_in_a_table(tmp_path, measurements) -> None:
    measurements[:, 1] = 7.5
    np.save(tmp_path / "t.npy", measurements)
    with pytest.raises(InputError, match=r"column '1' is constant \(7.5\); leave it out with"):
        _open(tmp_path / "t.npy")
    assert _open(tmp_path / "t.npy", drop_columns=["1"]).info.columns == ("0", "2")


def test_a_column_constant_in_training_alone_is_refused_too(tmp_path, measurements) -> None:
    for split, value in (("train", 0.0), ("validation", 1.0), ("test", 2.0)):
        part = measurements.copy()
        part[:, 0] = value
        np.save(tmp_path / f"{split}.npy", part)
    with pytest.raises(InputError, match=r"\(training split\): column '0' is constant \(0\)"):
        open_data(
            DataSpec(**{s: str(tmp_path / f"{s}.npy") for s in ("train", "validation", "test")}),
            data_seed=0,
        )


def test_constant_pixels_are_no_mistake(tmp_path) -> None:
    x = np.zeros((50, 4, 4), np.uint8)
    x[:, 1, 1] = np.arange(50)
    np.save(tmp_path / "t.npy", x)
    assert _open(tmp_path / "t.npy").info.event_shape == (1, 4, 4)


def test_tables_that_mislead_are_said_to(tmp_path) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 4))
    x[:, 1] = 2 * x[:, 0] + 1e-3 * x[:, 1]
    x[:, 2] = np.round(x[:, 2]) > 0
    x[:, 3] = np.arange(50) + 3
    np.save(tmp_path / "t.npy", x)
    few, same, counts, short = _open(tmp_path / "t.npy").info.warnings
    assert few == (
        "few distinct values among 50 rows: '2' has 2; a density can grow without bound there; "
        "of integers, data.dequantise=[2] makes a fair model"
    )
    assert same == "columns are nearly the same (|correlation|): '0' and '1' (1.000)"
    assert counts == "column '3' counts the rows; leave it out with data.drop_columns=[3]"
    assert short == "50 rows for 4 dimensions: fewer than 20 rows a dimension"
    assert _open(tmp_path / "t.npy", dequantise=[2]).source.dequantised == (2,)


def test_a_header_of_numbers_is_suspected(tmp_path, measurements) -> None:
    pd.DataFrame(measurements).to_csv(tmp_path / "t.csv", index=False)
    assert any(
        "first row is 0, 1, 2" in warning for warning in _open(tmp_path / "t.csv").info.warnings
    )


def test_many_pairs_are_counted_not_listed(tmp_path) -> None:
    x = np.random.default_rng(0).standard_normal((300, 1)) + np.arange(6) * 1e-9
    np.save(tmp_path / "t.npy", x + 1e-6 * np.random.default_rng(1).standard_normal((300, 6)))
    assert _open(tmp_path / "t.npy").info.warnings[0].endswith("and 10 more")


def test_a_folder_of_pictures_is_split_with_its_copies_together(write_pictures) -> None:
    folder = write_pictures([f"{kind}/{i}.png" for kind in "ab" for i in range(15)])
    for i in range(3):
        (folder / "b" / f"copy{i}.png").write_bytes((folder / "a" / "0.png").read_bytes())
    data = _open(folder)
    assert data.info.kind == "image"
    assert data.info.event_shape == (1, 5, 6)
    assert data.info.label_names == ("a", "b")
    assert data.info.warnings == ("3 duplicate images; duplicates are kept in one split",)
    assert data.preprocess_steps[1] == {"name": "logit", "lam": 0.05}
    copies = [0, 30, 31, 32]
    assert any(np.isin(copies, part.row).all() for part in data.source.splits.values())


def test_classes_keep_their_numbers_when_a_part_lacks_one(tmp_path) -> None:
    generator = np.random.default_rng(0)
    for split, kinds in (("train", "abc"), ("validation", "bc"), ("test", "c")):
        for kind in kinds:
            (tmp_path / split / kind).mkdir(parents=True)
            pixels = generator.integers(0, 256, (4, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / kind / "1.png")
    data = open_data(
        DataSpec(**{s: str(tmp_path / s) for s in ("train", "validation", "test")}), data_seed=0
    )
    assert data.info.label_names == ("a", "b", "c")
    labels = {split: part.label for split, part in data.source.splits.items()}
    assert {split: label.tolist() for split, label in labels.items()} == {
        "train": [0, 1, 2],
        "validation": [1, 2],
        "test": [2],
    }


def test_keys_for_tables_are_refused_on_images(write_pictures) -> None:
    folder = write_pictures([f"{i}.png" for i in range(30)])
    with pytest.raises(InputError, match=r"data.context: for tables only; pictures holds images"):
        _open(folder, context=["a"])


def test_files_are_found_where_flowbench_data_says(tmp_path, monkeypatch, table) -> None:
    (tmp_path / "home" / "tabular").mkdir(parents=True)
    table.rename(tmp_path / "home" / "tabular" / "visits.csv")
    monkeypatch.setenv("FLOWBENCH_DATA", str(tmp_path / "home"))
    assert _open("visits.csv", label="kind").info.name == "visits"
    monkeypatch.setenv("FLOWBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"FLOWBENCH_DATA = .*nowhere: no such directory"):
        _open("visits.csv")
