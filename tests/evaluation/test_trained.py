import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.evaluation.scoring import read_events, score_events
from flowbench.evaluation.trained import open_trained
from flowbench.families.checkpoint import save_flow
from flowbench.spec.run import DataSpec, RunSpec
from flowbench.training.fit import about


@pytest.fixture
def saved(tmp_path, flow_for):
    """Save a flow for a data set as training does, and open it again."""

    def build(data_spec, family="realnvp", **hyperparameters):
        data = open_data(data_spec, 0)
        flow = flow_for(data, family, depth=2, hidden=(8,), **hyperparameters)
        run = RunSpec.model_validate({"family": {"name": family}, "data": data_spec})
        save_flow(flow, tmp_path / "model.pt", about(data, run))
        return open_trained(str(tmp_path / "model.pt")), data

    return build


@pytest.fixture
def rows(tmp_path):
    """A table whose first column holds integers, and whose last conditions."""
    noise = np.random.default_rng(0)
    frame = pd.DataFrame({"count": noise.integers(0, 9, 300), "size": noise.normal(size=300)})
    frame["given"] = frame["size"] + noise.normal(size=300)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return frame


def spec_of(path, **keys):
    return DataSpec(path=str(path), **keys)


def test_a_trained_model_opens_its_data_under_the_same_split(saved, rows, tmp_path):
    trained, data = saved(spec_of(tmp_path / "rows.csv"))
    again = trained.open_data()
    assert again.info == data.info
    assert not trained.flow.training


def test_data_that_changed_since_are_refused(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv"))
    rows.iloc[::-1].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(InputError, match="held out"):
        trained.open_data()


def test_a_model_saved_by_hand_knows_no_data(table, flow_for, tmp_path):
    save_flow(flow_for(table, "planar", depth=1), tmp_path / "model.pt")
    trained = open_trained(str(tmp_path / "model.pt"))
    with pytest.raises(InputError, match="does not say what data"):
        trained.open_data()
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    assert len(score_events(trained, read_events(trained, str(tmp_path / "x.npy")))) == 2


def test_rows_are_scored_by_the_names_of_their_columns(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv", context=["given"]))
    shuffled = rows[["given", "size", "count"]].assign(comment="kept aside")
    shuffled.to_parquet(tmp_path / "new.parquet")

    found = score_events(trained, read_events(trained, str(tmp_path / "new.parquet")))

    x = torch.from_numpy(rows[["count", "size"]].to_numpy(copy=True)).float()
    context = torch.from_numpy(rows[["given"]].to_numpy(copy=True)).float()
    with torch.no_grad():
        expected = trained.flow.log_prob(x, context)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-5)


def test_a_file_without_names_has_its_columns_in_the_order_of_training(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv"))
    np.save(tmp_path / "new.npy", rows.to_numpy())
    unnamed = score_events(trained, read_events(trained, str(tmp_path / "new.npy")))
    named = score_events(trained, read_events(trained, str(tmp_path / "rows.csv")))
    assert torch.equal(unnamed, named)


def test_a_constant_column_and_a_single_row_can_be_scored(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv"))
    rows[:1].to_csv(tmp_path / "one.csv", index=False)
    assert len(score_events(trained, read_events(trained, str(tmp_path / "one.csv")))) == 1


def test_integers_are_dequantised_by_the_noise_of_their_row(saved, rows, tmp_path):
    trained, data = saved(spec_of(tmp_path / "rows.csv", dequantise=["count"]))
    found = score_events(trained, read_events(trained, str(tmp_path / "rows.csv")))
    # Row for row the file is the data set, so a split's rows have the noise of training.
    batch = next(data.batches("validation", 1000))
    with torch.no_grad():
        expected = trained.flow.log_prob(batch.x)
    torch.testing.assert_close(found[batch.row], expected.double(), rtol=1e-4, atol=1e-5)
    bare = torch.from_numpy(rows.to_numpy(copy=True)).float()[batch.row]
    assert (batch.x - bare)[:, 0].min() > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="size"), "no column 'size'"),
        (lambda frame: frame.assign(extra=1).drop(columns="count"), "no column 'count'"),
        (lambda frame: frame.assign(size="big"), "'big' in row 1, column 'size'"),
        (lambda frame: frame.assign(size=np.inf), "inf in row 1, column 'size'"),
        (lambda frame: frame.replace({"count": {3: np.nan}}), "nan in row"),
        (lambda frame: frame.assign(count=frame["count"] + 0.5), "fractions"),
    ],
)
def test_a_table_that_is_not_like_the_models_is_refused(saved, rows, tmp_path, change, said):
    trained, _ = saved(spec_of(tmp_path / "rows.csv", dequantise=["count"]))
    change(rows).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(InputError, match=said):
        read_events(trained, str(tmp_path / "new.csv"))


def test_an_array_of_another_width_is_refused(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv"))
    np.save(tmp_path / "new.npy", np.zeros((4, 2)))
    with pytest.raises(InputError, match="no column"):
        read_events(trained, str(tmp_path / "new.npy"))


def test_images_are_scored_from_an_array_and_from_a_folder(saved, tmp_path):
    trained, data = saved(DataSpec(name="digits"), "nice")
    images = data.source.splits["test"].take(np.arange(4)).x
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(tmp_path / "folder" / f"{i}.png")

    from_array = score_events(trained, read_events(trained, str(tmp_path / "images.npy")))
    from_folder = score_events(trained, read_events(trained, str(tmp_path / "folder")))

    x = trained.about.dequantise(torch.from_numpy(images).float(), torch.arange(4), 0)
    with torch.no_grad():
        expected = trained.flow.log_prob(x)
    torch.testing.assert_close(from_array, expected.double(), rtol=1e-4, atol=1e-3)
    assert torch.equal(from_array, from_folder)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 1, 9, 9), np.uint8), "shape"),
        (np.full((2, 1, 8, 8), 17, np.uint8), "a pixel of 17"),
        (np.zeros((2, 1, 8, 8)), "uint8"),
    ],
)
def test_images_that_are_not_like_the_models_are_refused(saved, tmp_path, images, said):
    trained, _ = saved(DataSpec(name="digits"), "nice")
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(InputError, match=said):
        read_events(trained, str(tmp_path / "images.npy"))


def test_a_folder_is_no_table(saved, rows, tmp_path):
    trained, _ = saved(spec_of(tmp_path / "rows.csv"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="trained on a table"):
        read_events(trained, str(tmp_path / "folder"))
