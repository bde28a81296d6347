"""Data files in the folder of the user: missing, damaged and hostile ones are refused.

The files are small ones in the real formats.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crossframe.tasks import data, discover
from crossframe.tasks.data import cifar10, mnist
from crossframe.tasks.data.download import DataError
from crossframe.tasks.spec import Task
from tests.support.data_files import (
    encode_idx,
    make_batch,
    make_cifar_members,
    make_mnist_files,
    make_tarball,
    pickle_as_python_2,
    pickle_as_python_3,
    write_files,
)

TASKS = {name: presets["standard"] for name, presets in discover().items()}
ON_IMAGES = [task for task in TASKS.values() if data.SOURCES[task.data].white is not None]
CNN = TASKS["cnn"]

by_name = functools.partial(pytest.mark.parametrize, ids=lambda task: task.name)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the addresses of the data sets by one without a server."""
    monkeypatch.setattr(mnist, "URL", "http://127.0.0.1:1/")
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:1/cifar")


# From the user's folder


@pytest.mark.usefixtures("no_network")
@by_name("task", ON_IMAGES)
def test_mnist_from_a_folder(task: Task, tmp_path: Path) -> None:
    split = data.load(task, "mnist", write_files(tmp_path, make_mnist_files()))
    assert split.x_train.shape == (70, *task.input_shape)
    assert split.x_test.shape == (20, *task.input_shape)
    if task.normalization == "standard":
        assert_allclose(split.x_train.std(dtype=np.float64), 1, atol=1e-6)
    else:
        assert (split.x_train.min(), split.x_train.max()) == (0, 1)


@pytest.mark.usefixtures("no_network")
def test_mnist_keeps_images_and_labels_together(tmp_path: Path) -> None:
    files = make_mnist_files()
    split = data.load(replace(CNN, normalization="raw"), "mnist", write_files(tmp_path, files))
    labels = np.frombuffer(gzip.decompress(files["t10k-labels-idx1-ubyte.gz"])[8:], np.uint8)
    pixels = np.frombuffer(gzip.decompress(files["t10k-images-idx3-ubyte.gz"])[16:], np.uint8).reshape(-1, 28, 28)
    assert_array_equal(split.y_test, labels)
    for channel in range(3):
        assert_array_equal(split.x_test[:, channel], pixels[:, 2:26, 2:26])


@pytest.mark.usefixtures("no_network")
@by_name("task", ON_IMAGES)
@pytest.mark.parametrize("dump", [pickle_as_python_2, pickle_as_python_3])
def test_cifar10_from_a_folder(task: Task, dump: Any, tmp_path: Path) -> None:
    folder = write_files(tmp_path, {cifar10.FILE: make_tarball(make_cifar_members(dump))})
    split = data.load(task, "cifar10", folder)
    assert split.x_train.shape == (30, *task.input_shape)
    assert split.x_test.shape == (6, *task.input_shape)


@pytest.mark.usefixtures("no_network")
def test_cifar10_is_red_green_and_blue_in_the_order_of_the_batches(tmp_path: Path) -> None:
    folder = write_files(tmp_path, {cifar10.FILE: make_tarball(make_cifar_members())})
    split = data.load(replace(CNN, normalization="raw"), "cifar10", folder)
    assert_array_equal(split.y_train, np.concatenate([make_batch(number)[b"labels"] for number in (1, 2, 3, 4, 5)]))
    assert_array_equal(split.x_test, make_batch(6)[b"data"].reshape(-1, 3, 32, 32)[:, :, 4:28, 4:28])


@pytest.mark.parametrize("missing", mnist.CHECKSUMS)
def test_a_missing_file_of_mnist_is_named(missing: str, tmp_path: Path) -> None:
    (write_files(tmp_path, make_mnist_files()) / missing).unlink()
    with pytest.raises(DataError, match="--data-dir") as error:
        data.load(CNN, "mnist", tmp_path)
    assert str(tmp_path / missing) in str(error.value)


def test_a_missing_tarball_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-dir") as error:
        data.load(CNN, "cifar10", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / cifar10.FILE) in str(error.value)


# Damaged files

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
PIXELS = gzip.decompress(make_mnist_files()[IMAGES])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (IMAGES, gzip.compress(PIXELS[:-1]), "in its header"),
        (IMAGES, gzip.compress(PIXELS + b"\0"), "in its header"),
        (IMAGES, gzip.compress(PIXELS[:4] + bytes([255] * 12) + PIXELS[16:]), "in its header"),
        (IMAGES, gzip.compress(PIXELS[:10]), "not an IDX file"),
        (IMAGES, gzip.compress(b""), "not an IDX file"),
        (IMAGES, gzip.compress(b"\0\0\x0d\x03" + PIXELS[4:]), "not an IDX file"),
        (IMAGES, make_mnist_files()[LABELS], "not an IDX file"),
        (IMAGES, make_mnist_files()[IMAGES][:-20], "not a complete gzip file"),
        (IMAGES, b"<html>Not found</html>", "not a complete gzip file"),
        (IMAGES, b"", "in its header|not an IDX file|not a complete gzip file"),
        (IMAGES, gzip.compress(PIXELS)[:-8] + bytes(8), "not a complete gzip file"),
        (IMAGES, gzip.compress(encode_idx(np.zeros((70, 14, 56), np.uint8))), r"\(28, 28\)"),
        (IMAGES, make_mnist_files(train=69)[IMAGES], "each of 69 images"),
        (LABELS, gzip.compress(encode_idx(np.full(70, 10, np.uint8))), "0 to 9"),
    ],
)
def test_a_damaged_idx_file_is_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    write_files(tmp_path, make_mnist_files() | {name: content})
    with pytest.raises(DataError, match=reason) as error:
        data.load(CNN, "mnist", tmp_path)
    assert str(tmp_path / "train-") in str(error.value)


def cifar_error(folder: Path, content: bytes) -> str:
    """Return the message of the error for a tarball; fail if it is accepted."""
    write_files(folder, {cifar10.FILE: content})
    with pytest.raises(DataError) as error:
        data.load(CNN, "cifar10", folder)
    assert str(folder / cifar10.FILE) in str(error.value)
    return str(error.value)


FIRST = "cifar-10-batches-py/data_batch_1"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({b"data": np.zeros((6, 3071), np.uint8)}, "3072"),
        ({b"data": np.zeros((6, 3072), np.int64)}, "3072"),
        ({b"data": np.zeros((), np.uint8)}, "3072"),
        ({b"data": [1, 2]}, "3072"),
        ({b"labels": [1] * 5}, "0 to 9"),
        ({b"labels": [1] * 5 + [10]}, "0 to 9"),
        ({b"labels": [1] * 5 + [-1]}, "0 to 9"),
        ({b"labels": [1.5] * 6}, "0 to 9"),
        ({b"labels": [[1], [1, 2]]}, "cannot be read"),
    ],
)
def test_a_batch_of_another_content_is_refused(changed: dict[bytes, Any], reason: str, tmp_path: Path) -> None:
    message = cifar_error(
        tmp_path, make_tarball(make_cifar_members() | {FIRST: pickle_as_python_2(make_batch(1) | changed)})
    )
    assert reason in message
    assert FIRST in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle_as_python_2(make_batch(1))[:-9],
        pickle_as_python_2([1]),
        pickle_as_python_2({b"data": 1}),
    ],
)
def test_a_damaged_pickle_is_refused(content: bytes, tmp_path: Path) -> None:
    message = cifar_error(tmp_path, make_tarball(make_cifar_members() | {FIRST: content}))
    assert "cannot be read" in message
    assert FIRST in message


@pytest.mark.parametrize(
    "content", [b"", b"<html>Not found</html>", gzip.compress(b"not a tar"), make_tarball(make_cifar_members())[:9000]]
)
def test_a_damaged_tarball_is_refused(content: bytes, tmp_path: Path) -> None:
    cifar_error(tmp_path, content)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
def test_a_tarball_without_one_of_the_batches_is_refused(name: str, tmp_path: Path) -> None:
    members = make_cifar_members()
    del members[f"cifar-10-batches-py/{name}"]
    assert f"lacks cifar-10-batches-py/{name}" in cifar_error(tmp_path, make_tarball(members))


# Hostile files


@dataclass
class Call:
    """An object that is pickled as the call of a function, which an unsafe reader runs."""

    function: Any
    arguments: tuple[Any, ...]

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize(
    "function", [os.system, eval, exec, getattr, np.load, functools.partial], ids=lambda function: function.__name__
)
def test_a_pickle_that_calls_a_function_is_refused(function: Any, tmp_path: Path) -> None:
    content = pickle.dumps({b"data": Call(function, ("anything",)), b"labels": []}, protocol=2)
    assert "UnpicklingError: it uses" in cifar_error(tmp_path, make_tarball(make_cifar_members() | {FIRST: content}))


def test_the_command_of_a_pickle_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps(Call(os.system, (f"touch '{trace}'",)), protocol=2)
    message = cifar_error(tmp_path, make_tarball(make_cifar_members() | {FIRST: content}))
    assert f"{os.name}.system" in message
    assert not trace.exists()
    pickle.loads(content)  # the test can fail: an unsafe reader runs it
    assert trace.exists()


def test_a_pickle_of_objects_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(make_batch(1) | {b"data": np.array([Call(os.getcwd, ())], object)}, protocol=2)
    assert "getcwd" in cifar_error(tmp_path, make_tarball(make_cifar_members() | {FIRST: content}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("name", [FIRST, "cifar-10-batches-py/readme.html", "other", "cifar-10-batches-py"])
def test_a_link_or_a_device_is_refused(kind: bytes, name: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    assert f"contains {name!r}" in cifar_error(tmp_path, make_tarball(make_cifar_members(), member))


@pytest.mark.parametrize(
    "name",
    ["/etc/evil", "../evil", "cifar-10-batches-py/../../evil", "evil", f"/{FIRST}", f"./{FIRST}", f"other/{FIRST}"],
)
def test_a_member_of_another_name_is_refused_and_nothing_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert f"contains {name!r}" in cifar_error(
        tmp_path / "inner", make_tarball({name: pickle_as_python_2(make_batch(1))} | make_cifar_members())
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", cifar10.FILE]


def test_a_batch_that_comes_twice_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo(FIRST)
    content = pickle_as_python_2(make_batch(1))
    member.size = len(content)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for _ in range(2):
            tar.addfile(member, io.BytesIO(content))
    assert f"contains {FIRST!r}" in cifar_error(tmp_path, stream.getvalue())


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MOST_BYTES", 100_000)
    files = make_mnist_files(train=20)
    bomb = "train-labels-idx1-ubyte.gz"
    write_files(tmp_path, files | {bomb: gzip.compress(encode_idx(np.zeros(1_000_000, np.uint8)))})
    with pytest.raises(DataError, match=f"{bomb} has more than 100000 bytes"):
        mnist.load(tmp_path)


def test_a_member_of_a_tarball_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "MOST_BYTES", 1000)
    write_files(tmp_path, {cifar10.FILE: make_tarball(make_cifar_members(pickle_as_python_3))})
    with pytest.raises(DataError, match="too many"):
        cifar10.load(tmp_path)
