"""Verified downloads, from a server on this machine."""

import functools
import hashlib
import http.server
import tarfile
import threading
from pathlib import Path

import numpy as np
import pooch
import pytest

from flowbench.data import downloads
from flowbench.data.downloads import fetch, unpacked
from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec

FILES = Path(__file__).parent / "files"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the small MNIST files, and an empty cache; gives the address and the requests."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            requests.append(self.path)

    handler = functools.partial(Handler, directory=str(FILES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/MNIST/", requests
        running.shutdown()


def _sha256(name: str) -> str:
    return hashlib.sha256((FILES / "MNIST" / name).read_bytes()).hexdigest()


def test_a_file_is_fetched_once_and_verified(server) -> None:
    address, requests = server
    name = downloads.IDX_NAMES[3]
    for _ in range(2):
        path = fetch(address + name, f"sha256:{_sha256(name)}", "MNIST")
        assert path.read_bytes() == (FILES / "MNIST" / name).read_bytes()
    assert len(requests) == 1


def test_a_file_that_is_not_the_published_one_is_refused_and_not_kept(server, tmp_path) -> None:
    address, _ = server
    name = downloads.IDX_NAMES[3]
    with pytest.raises(InputError, match=rf"{name}: cannot be downloaded .* with MNIST/ in it"):
        fetch(address + name, f"sha256:{'0' * 64}", "MNIST")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_an_address_that_does_not_answer_is_one_sentence(server) -> None:
    address, _ = server
    with pytest.raises(InputError, match=r"none.gz: cannot be downloaded \(HTTPError\); set FLOWB"):
        fetch(address + "none.gz", f"sha256:{'0' * 64}", "MNIST")


def test_mnist_opens_by_name_from_its_download(server, monkeypatch) -> None:
    address, _ = server
    checksums = tuple(_sha256(name) for name in downloads.IDX_NAMES)
    monkeypatch.setitem(downloads.SHA256, address, checksums)
    files = downloads.idx_files("MNIST", address)
    monkeypatch.setenv("FLOWBENCH_DATA", str(FILES))
    assert [path.read_bytes() for path in files] == [
        path.read_bytes() for path in downloads.idx_files("MNIST", address)
    ]


def test_an_archive_is_unpacked_once_and_whole_or_not_at_all(tmp_path) -> None:
    np.save(tmp_path / "data.npy", np.arange(3))
    archive = tmp_path / "cache" / "0a1b-data.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "data.npy", "data/power/data.npy")
        packed.add(tmp_path / "data.npy", "data/gas/ethylene_CO.pickle")
    with pytest.raises(KeyError):
        unpacked(archive, ["data/power/data.npy", "data/missing"])
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    folder = unpacked(archive, ["data/power/data.npy"])
    assert [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()] == [
        "data/power/data.npy"
    ]
    before = folder.stat().st_mtime_ns
    assert unpacked(archive, ["data/power/data.npy"]) == folder
    assert folder.stat().st_mtime_ns == before


def test_what_cannot_be_had_says_where_to_put_it(monkeypatch, tmp_path) -> None:
    """No address of a published data set answers here."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setenv("FLOWBENCH_DATA", str(tmp_path))
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the discard port: refused at once
    for name, place in (
        ("mnist", "MNIST"),
        ("fashion-mnist", "FashionMNIST"),
        ("cifar10", "cifar-10-batches-bin"),
        ("miniboone", "maf/data"),
    ):
        with pytest.raises(InputError, match=rf"cannot be downloaded .* with {place}/ in it"):
            open_data(DataSpec(name=name), data_seed=0)
