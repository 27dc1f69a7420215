"""Likelihoods published for a data set, and what sets them apart from those measured here."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowbench.compare.columns import UNKNOWN, with_error
from flowbench.report.tables import Cell, Table, Titled


@dataclass(frozen=True)
class Published:
    """A figure from a paper."""

    model: str
    family: str
    """Of this package; empty where it has none."""
    bits_per_dim: float
    differs: str
    source: str


SURVEY = "Kobyzev, Prince and Brubaker 2021, tables 2 to 5"
CONTINUOUS = "Grathwohl et al. 2019 (FFJORD), table 2"
MAF = "flowbench.adapters.zuko:MAF"

PUBLISHED = {
    "mnist": (
        Published(
            "NICE", "nice", 4.36,
            "no logit in front; networks of five layers of 1,000 on flat images; 1,500 epochs; "
            "converted from 1,980.50 nats",
            "Dinh, Krueger and Bengio 2014",
        ),
        Published("RealNVP", "realnvp", 1.06, "size and budget are not given with it", CONTINUOUS),
        Published(
            "Glow", "glow", 1.05,
            "size and budget are not given with it; the released code pads images to 32 x 32 and "
            "repeats them in three channels",
            CONTINUOUS,
        ),
        Published(
            "i-ResNet", "residual", 1.06,
            "32 blocks a level (16 in the released code) of 32 channels, c = 0.9; a series of 10 "
            "terms in training, which is biased; 200 epochs on four GPUs",
            f"Behrmann et al. 2019; as listed by {SURVEY}",
        ),
        Published(
            "Residual Flow", "residual", 0.970,
            "16 blocks a level of 512 channels and 4 connected ones, c = 0.98 a layer; the logit's "
            "lambda is 1e-6 in the code and 1e-5 in the text; some 300 epochs on four GPUs",
            "Chen et al. 2019",
        ),
        Published(
            "MAF", MAF, 1.89, "five autoregressive layers of 2 x 1,024 on flat images",
            "Papamakarios, Pavlakou and Murray 2017",
        ),
        Published("FFJORD", "", 0.99, "continuous in time, at several scales", CONTINUOUS),
    ),
    "cifar10": (
        Published(
            "NICE", "nice", 4.48, "images whitened (ZCA), whose log-determinant is not stated",
            "Dinh, Krueger and Bengio 2014",
        ),
        Published(
            "RealNVP", "realnvp", 3.49,
            "6.4 million parameters; batch normalisation; trained on flipped images too",
            "Dinh, Sohl-Dickstein and Bengio 2017",
        ),
        Published(
            "Glow", "glow", 3.35,
            "44.2 million parameters: three levels of 32 steps, width 512; no logit; trained on "
            "shifted images too",
            "Kingma and Dhariwal 2018",
        ),
        Published(
            "i-ResNet", "residual", 3.45,
            "a series of 5 terms in training, which is biased; 200 epochs on four GPUs",
            f"Behrmann et al. 2019; as listed by {SURVEY}",
        ),
        Published(
            "Residual Flow", "residual", 3.280,
            "25.2 million parameters; trained on flipped images too; some 300 epochs on four GPUs",
            "Chen et al. 2019",
        ),
        Published(
            "MAF", MAF, 4.31,
            "ten autoregressive layers on flat images; trained on flipped images too",
            "Papamakarios, Pavlakou and Murray 2017",
        ),
        Published("FFJORD", "", 3.40, "continuous in time, at several scales", CONTINUOUS),
    ),
}  # fmt: skip

NOTE = (
    "Test bits/dim as published, or converted where it says so; FlowBench ran nothing of them but "
    "what stands under `here`. All take uniform dequantisation."
)


def published_table(rows: pd.DataFrame) -> list[Titled]:
    """Set what was published for a data set beside its families; nothing where we know of none.

    Args:
        rows: the data set's rows of the leaderboard.
    """
    known = PUBLISHED.get(str(rows["data"].iloc[0]), ())
    if not known:
        return []
    here = {row["family"]: row for row in rows.to_dict("records")}
    missing = {"bits_per_dim": float("nan"), "bits_per_dim_se": float("nan"), "split": ""}
    data = pd.DataFrame(
        [
            {
                "model": each.model, "published": each.bits_per_dim, "family": each.family,
                **{key: here.get(each.family, missing)[key] for key in missing},
                "differs": each.differs, "source": each.source,
            }
            for each in known
        ]
    )  # fmt: skip
    header = ("model", "published", "family", "here", "what differs", "source")
    meanings = ("", "test bits/dim", "", "bits/dim ± s.e.", "of the published one", "")
    body = tuple(
        (
            Cell(row["model"]), Cell(f"{row['published']:.4g}", True),
            Cell(row["family"] or UNKNOWN), Cell(_here(row), True),
            Cell(row["differs"]), Cell(row["source"]),
        )
        for row in data.to_dict("records")
    )  # fmt: skip
    table = Table(header, meanings, body, (False, True, False, True, False, False))
    return [Titled("published", "Published figures", NOTE, table, data)]


def _here(row: Mapping[Hashable, Any]) -> str:
    if not row["split"]:
        return UNKNOWN
    words = with_error(row["bits_per_dim"], row["bits_per_dim_se"])
    return words if row["split"] == "test" else f"{words} ({row['split']})"
