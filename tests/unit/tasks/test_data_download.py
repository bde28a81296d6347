"""Downloads of data files, from a server on 127.0.0.1: verified, cached, and failures named."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from crossframe.tasks import data, discover
from crossframe.tasks.data import cifar10, mnist
from crossframe.tasks.data.download import DataError, download_folder
from tests.support.data_files import make_cifar_members, make_mnist_files, make_tarball, write_files

# requests leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASKS = {name: presets["standard"] for name, presets in discover().items()}
CNN = TASKS["cnn"]
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the addresses of the data sets by one without a server."""
    monkeypatch.setattr(mnist, "URL", "http://127.0.0.1:1/")
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:1/cifar")


# Downloads


@dataclass
class Server:
    """A server of a folder on 127.0.0.1, which records the requested paths."""

    folder: Path
    url: str
    requests: list[str]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield Server(folder, f"http://127.0.0.1:{listening.server_port}/", requests)
        listening.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def mnist_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    files = make_mnist_files()
    assert list(files) == list(mnist.CHECKSUMS)
    write_files(server.folder, files)
    monkeypatch.setattr(mnist, "URL", server.url)
    monkeypatch.setattr(mnist, "CHECKSUMS", {name: md5(content) for name, content in files.items()})
    return server


def test_mnist_is_downloaded_once_and_cached(mnist_server: Server) -> None:
    first = data.load(CNN, "mnist")
    assert sorted(mnist_server.requests) == sorted(f"/{name}" for name in mnist.CHECKSUMS)
    again = data.load(CNN, "mnist")
    assert len(mnist_server.requests) == 4
    assert_array_equal(first.x_train, again.x_train)
    assert sorted(path.name for path in download_folder().iterdir()) == sorted(mnist.CHECKSUMS)


def test_cifar10_is_downloaded_once_and_cached(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_tarball(make_cifar_members())
    write_files(server.folder, {cifar10.FILE: content})
    monkeypatch.setattr(cifar10, "URL", server.url + cifar10.FILE)
    monkeypatch.setattr(cifar10, "CHECKSUM", md5(content))
    first, again = data.load(CNN, "cifar10"), data.load(CNN, "cifar10")
    assert server.requests == [f"/{cifar10.FILE}"]
    assert_array_equal(first.x_train, again.x_train)


def test_a_damaged_file_in_the_cache_is_downloaded_again(mnist_server: Server) -> None:
    data.load(CNN, "mnist")
    (download_folder() / IMAGES).write_bytes(b"damaged")
    data.load(CNN, "mnist")
    assert mnist_server.requests.count(f"/{IMAGES}") == 2


def test_a_wrong_checksum_is_refused_and_not_cached(mnist_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mnist.CHECKSUMS, IMAGES, md5(b"another file"))
    with pytest.raises(DataError, match="checksum") as error:
        data.load(CNN, "mnist")
    message = str(error.value)
    assert IMAGES in message
    assert mnist_server.url in message
    assert "--data-dir" in message
    assert not any(download_folder().iterdir())


def test_an_answer_of_404_is_named(mnist_server: Server) -> None:
    (mnist_server.folder / LABELS).unlink()
    with pytest.raises(DataError, match="the server answered 404") as error:
        data.load(CNN, "mnist")
    assert LABELS in str(error.value)
    assert "--data-dir" in str(error.value)


@pytest.mark.usefixtures("server", "no_network")
@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_a_server_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(DataError, match="no answer, ConnectionError") as error:
        data.load(CNN, source)
    assert "127.0.0.1:1/" in str(error.value)
    assert "--data-dir" in str(error.value)


def test_a_cache_that_cannot_be_written_is_named(mnist_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = mnist_server.folder / IMAGES  # a file where a folder should be
    monkeypatch.setenv("CROSSFRAME_CACHE", str(blocked))
    with pytest.raises(DataError, match="--data-dir") as error:
        data.load(CNN, "mnist")
    assert str(blocked) in str(error.value)


def test_the_cache_is_the_systems_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSFRAME_CACHE", raising=False)
    assert "crossframe" in str(download_folder())
    monkeypatch.setenv("CROSSFRAME_CACHE", "elsewhere")
    assert download_folder() == Path("elsewhere")


def test_the_published_files_are_named_with_their_checksums() -> None:
    assert len(mnist.CHECKSUMS) == 4
    assert mnist.URL.startswith("https://")
    assert cifar10.URL.startswith("https://")
    for checksum in (*mnist.CHECKSUMS.values(), cifar10.CHECKSUM):
        assert len(checksum) == len("md5:") + 32
