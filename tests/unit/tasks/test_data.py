"""The data sets: their figures, and what happens to files that are missing, damaged or hostile.

The files are small ones of the real formats, made here and served from 127.0.0.1.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy.ndimage import zoom

from crossframe.tasks import data, discover
from crossframe.tasks.data import cifar10, images, mnist, points
from crossframe.tasks.data.download import DataError, cache_folder
from crossframe.tasks.spec import Task

# requests leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASKS = {name: presets["standard"] for name, presets in discover().items()}
ON_IMAGES = [task for task in TASKS.values() if data.SOURCES[task.data].white is not None]
ON_POINTS = [task for task in TASKS.values() if data.SOURCES[task.data].white is None]
CNN, AUTOENCODER = TASKS["cnn"], TASKS["autoencoder"]

by_name = functools.partial(pytest.mark.parametrize, ids=lambda task: task.name)


def test_the_parametrised_tests_find_tasks() -> None:
    assert len(ON_IMAGES) == 3
    assert len(ON_POINTS) == 1


# Points


def test_circle() -> None:
    split = data.load(TASKS["circle"])
    assert (len(split.x_train), len(split.x_test)) == (2048, 2000)
    for x, y in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.abs(x).max() <= 1
        assert_array_equal(y, np.hypot(x[:, 0], x[:, 1]) < 1)
        # The share of the square that the circle covers; its deviation is 0.009 for 2,000 points.
        assert_allclose(y.mean(), np.pi / 4, atol=0.03)
    assert not set(map(tuple, split.x_train)) & set(map(tuple, split.x_test))
    assert_array_equal(split.x_train, data.load(TASKS["circle"]).x_train)


def test_the_ten_points_are_those_of_the_text() -> None:
    split = data.load(discover()["circle"]["original"])
    before = np.random.get_state()
    np.random.seed(0)
    text = np.random.rand(10, 2) * 2 - 1
    np.random.set_state(before)
    assert_array_equal(split.x_train, text.astype(np.float32))
    assert_allclose(split.x_train[0], [0.09762701, 0.43037873], rtol=1e-6)
    assert_array_equal(split.y_train, [1, 1, 1, 1, 1, 1, 1, 0, 0, 1])
    assert_array_equal(split.x_test, data.load(TASKS["circle"]).x_test)


def test_no_source_draws_from_the_global_generator() -> None:
    np.random.rand()  # so that it does not stand where an earlier seed would put it again
    before = np.random.get_state()
    for task in TASKS.values():
        data.load(task)
    points.original()
    assert_equal(np.random.get_state(), before)


@by_name("task", ON_POINTS)
@pytest.mark.parametrize("source", data.SOURCES)
def test_a_task_on_points_keeps_its_points(task: Task, source: str) -> None:
    assert_array_equal(data.load(task, source).x_train, data.load(task).x_train)


def test_points_can_be_standardised_but_have_no_unit() -> None:
    x = data.load(replace(TASKS["circle"], normalization="standard")).x_train
    assert_allclose([x.mean(dtype=np.float64), x.std(dtype=np.float64)], [0, 1], atol=1e-6)
    with pytest.raises(ValueError, match="'standard' or 'raw'"):
        data.load(replace(TASKS["circle"], normalization="unit"))


# Digits


@by_name("task", ON_IMAGES)
def test_digits(task: Task) -> None:
    split = data.load(task)
    assert split.x_train.shape == (1437, *task.input_shape)
    assert split.x_test.shape == (360, *task.input_shape)
    assert split.x_train.dtype == split.x_test.dtype == np.float32
    if task.loss == "mean_squared_error":
        assert split.y_train is split.x_train
        assert split.y_test is split.x_test
    else:
        assert split.y_train.dtype == split.y_test.dtype == np.int64
        train, held_out = (np.bincount(y) / len(y) for y in (split.y_train, split.y_test))
        assert_allclose(held_out, train, atol=1 / 360)  # each digit as frequent in both, to one image


@by_name("task", ON_IMAGES)
def test_normalization(task: Task) -> None:
    raw, unit, standard = (data.load(replace(task, normalization=word)) for word in ("raw", "unit", "standard"))
    assert (raw.x_train.min(), raw.x_train.max()) == (0, 16)
    assert_allclose(unit.x_train, raw.x_train / 16)
    assert_allclose(unit.x_test, raw.x_test / 16)
    mean, deviation = unit.x_train.mean(dtype=np.float64), unit.x_train.std(dtype=np.float64)
    assert_allclose(standard.x_train, (unit.x_train - mean) / deviation, atol=1e-6)
    assert_allclose(standard.x_test, (unit.x_test - mean) / deviation, atol=1e-6)
    assert_allclose(standard.x_train.mean(dtype=np.float64), 0, atol=1e-6)
    assert_allclose(standard.x_train.std(dtype=np.float64), 1, atol=1e-6)


def test_digits_have_the_variance_and_the_linear_optimum_that_the_design_names() -> None:
    from sklearn.decomposition import PCA

    split = data.load(AUTOENCODER)
    assert_allclose(split.x_test.var(), 0.105, atol=5e-4)  # seen: 0.1054
    fitted = PCA(32, svd_solver="covariance_eigh").fit(split.x_train)
    again = fitted.inverse_transform(fitted.transform(split.x_test))
    assert_allclose(np.square(again - split.x_test).mean(), 0.00083, atol=1e-5)  # seen: 0.000833


# Images


def test_the_layouts_of_the_tasks_are_the_same_image() -> None:
    raw = {task.name: data.load(replace(task, normalization="raw")).x_test for task in ON_IMAGES}
    cnn, lstm, autoencoder = raw["cnn"], raw["lstm"], raw["autoencoder"].reshape(-1, 28, 28)
    assert_array_equal(cnn[:, 0], cnn[:, 1])
    assert_array_equal(cnn[:, 0], cnn[:, 2])
    # A pixel of the source covers 3 x 3 of 24 x 24, the middle one of which is the pixel itself.
    assert_array_equal(cnn[:, 0, 1::3, 1::3] % 1, 0)
    # The rows of lstm and autoencoder are the same, only wider: so are the means of a row.
    assert_allclose(lstm.mean(axis=2), autoencoder.mean(axis=2), atol=0.2)


@pytest.mark.parametrize("size", [(28, 28), (24, 24), (28, 100), (9, 8), (31, 8)])
def test_enlarging_is_that_of_scipy(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (8, 8)).astype(np.float32)
    ours = images.resize(image[np.newaxis, np.newaxis], *size)[0, 0]
    scipys = zoom(image, np.array(size) / 8, order=1, grid_mode=True, mode="nearest")
    assert_allclose(ours, scipys, atol=1e-4)  # float32; seen: 3e-5
    assert ours.min() >= image.min() - 1e-4
    assert ours.max() <= image.max() + 1e-4


def test_more_images_than_one_chunk() -> None:
    source = np.random.default_rng(0).integers(0, 256, (2 * images.CHUNK + 1, 1, 4, 4), np.uint8)
    together = images.fit(source, (3, 8, 8))
    assert_array_equal(together[-1], images.fit(source[-1:], (3, 8, 8))[0])
    assert_array_equal(together[images.CHUNK], images.fit(source[images.CHUNK :][:1], (3, 8, 8))[0])


def test_larger_images_are_cropped_to_the_middle() -> None:
    source = np.arange(3 * 32 * 32).reshape(1, 3, 32, 32) % 251
    assert_array_equal(images.fit(source, (3, 24, 24)), source[:, :, 4:28, 4:28])


def test_an_image_too_narrow_keeps_its_rows() -> None:
    source = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28))
    wide = images.fit(source, (28, 100))
    assert_allclose(wide[0, 5], images.bilinear(28, 100) @ source[0, 0, 5].astype(np.float32), rtol=1e-5)


def test_colour_becomes_luminance() -> None:
    red, green, blue = np.eye(3, dtype=np.uint8)[:, :, np.newaxis, np.newaxis] * 100
    colours = np.stack([red, green, blue, red + green + blue])
    assert_allclose(images.fit(colours, (1,))[:, 0], [29.9, 58.7, 11.4, 100], rtol=1e-6)


@pytest.mark.parametrize(("channels", "shape"), [(1, (2, 4, 4)), (2, (16,)), (4, (3, 4, 4))])
def test_other_numbers_of_channels_are_refused(channels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels"):
        images.fit(np.zeros((1, channels, 4, 4), np.uint8), shape)


def test_a_flat_input_must_be_a_square() -> None:
    with pytest.raises(ValueError, match="no square image has 783 pixels"):
        images.fit(np.zeros((1, 1, 8, 8)), (783,))


# Names of sources


@by_name("task", TASKS.values())
def test_an_unknown_source_is_refused_and_the_known_ones_named(task: Task) -> None:
    with pytest.raises(ValueError, match="'imagenet'") as refused:
        data.load(task, "imagenet")
    assert all(name in str(refused.value) for name in data.SOURCES)


def test_a_task_may_not_name_an_unknown_source() -> None:
    with pytest.raises(ValueError, match="'imagenet'"):
        data.load(replace(CNN, data="imagenet"))


@by_name("task", ON_IMAGES)
def test_a_task_on_images_refuses_points(task: Task) -> None:
    with pytest.raises(ValueError, match="digits, mnist, cifar10"):
        data.load(task, "circle")


# Files of the real formats


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def mnist_files(train: int = 70, held_out: int = 20) -> dict[str, bytes]:
    """Name -> content of the four files, with random pixels in the inner 20 x 20."""
    generator = np.random.default_rng(0)
    files = {}
    for half, count in (("train", train), ("t10k", held_out)):
        pixels = np.zeros((count, 28, 28), np.uint8)
        pixels[:, 4:24, 4:24] = generator.integers(0, 256, (count, 20, 20))
        files[f"{half}-images-idx3-ubyte.gz"] = gzip.compress(idx(pixels))
        files[f"{half}-labels-idx1-ubyte.gz"] = gzip.compress(idx(generator.integers(0, 10, count).astype(np.uint8)))
    return files


# The one written in Python: only there can the way of a type be changed.
Pickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class Python2Pickler(Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how CIFAR-10's files hold them."""

    def save_string(self, value: bytes) -> None:
        short = len(value) < 256
        self.write(pickle.SHORT_BINSTRING if short else pickle.BINSTRING)
        self.write(struct.pack("<B" if short else "<i", len(value)) + value)
        self.memoize(value)

    dispatch = Pickler.dispatch | {bytes: save_string}


def python_2(value: Any) -> bytes:
    """A pickle as the original ones are: protocol 2, strings of Python 2, the modules of NumPy 1."""
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def python_3(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def batch(number: int, count: int = 6) -> dict[bytes, Any]:
    generator = np.random.default_rng(number)
    return {
        b"batch_label": b"a batch of the test",
        b"labels": generator.integers(0, 10, count).tolist(),
        b"data": generator.integers(0, 256, (count, 3072), np.uint8),
        b"filenames": [b"a.png"] * count,
    }


def cifar_members(dump: Any = python_2) -> dict[str, bytes]:
    """Name -> content of all members, in the order of the original tarball, which is not that of the numbers."""
    numbers = {
        "data_batch_4": 4,
        "test_batch": 6,
        "data_batch_3": 3,
        "data_batch_2": 2,
        "data_batch_5": 5,
        "data_batch_1": 1,
    }
    members = {f"cifar-10-batches-py/{name}": dump(batch(number)) for name, number in numbers.items()}
    return members | {"cifar-10-batches-py/readme.html": b"<p>", "cifar-10-batches-py/batches.meta": b"not read"}


def tarball(members: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        folder = tarfile.TarInfo("cifar-10-batches-py")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for other in others:
            tar.addfile(other)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would go out meets an address that nobody listens to."""
    monkeypatch.setattr(mnist, "URL", "http://127.0.0.1:1/")
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:1/cifar")


# From the user's folder


@pytest.mark.usefixtures("no_network")
@by_name("task", ON_IMAGES)
def test_mnist_from_a_folder(task: Task, tmp_path: Path) -> None:
    split = data.load(task, "mnist", write(tmp_path, mnist_files()))
    assert split.x_train.shape == (70, *task.input_shape)
    assert split.x_test.shape == (20, *task.input_shape)
    if task.normalization == "standard":
        assert_allclose(split.x_train.std(dtype=np.float64), 1, atol=1e-6)
    else:
        assert (split.x_train.min(), split.x_train.max()) == (0, 1)


@pytest.mark.usefixtures("no_network")
def test_mnist_keeps_images_and_labels_together(tmp_path: Path) -> None:
    files = mnist_files()
    split = data.load(replace(CNN, normalization="raw"), "mnist", write(tmp_path, files))
    labels = np.frombuffer(gzip.decompress(files["t10k-labels-idx1-ubyte.gz"])[8:], np.uint8)
    pixels = np.frombuffer(gzip.decompress(files["t10k-images-idx3-ubyte.gz"])[16:], np.uint8).reshape(-1, 28, 28)
    assert_array_equal(split.y_test, labels)
    for channel in range(3):
        assert_array_equal(split.x_test[:, channel], pixels[:, 2:26, 2:26])


@pytest.mark.usefixtures("no_network")
@by_name("task", ON_IMAGES)
@pytest.mark.parametrize("dump", [python_2, python_3])
def test_cifar10_from_a_folder(task: Task, dump: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, {cifar10.FILE: tarball(cifar_members(dump))})
    split = data.load(task, "cifar10", folder)
    assert split.x_train.shape == (30, *task.input_shape)
    assert split.x_test.shape == (6, *task.input_shape)


@pytest.mark.usefixtures("no_network")
def test_cifar10_is_red_green_and_blue_in_the_order_of_the_batches(tmp_path: Path) -> None:
    folder = write(tmp_path, {cifar10.FILE: tarball(cifar_members())})
    split = data.load(replace(CNN, normalization="raw"), "cifar10", folder)
    assert_array_equal(split.y_train, np.concatenate([batch(number)[b"labels"] for number in (1, 2, 3, 4, 5)]))
    assert_array_equal(split.x_test, batch(6)[b"data"].reshape(-1, 3, 32, 32)[:, :, 4:28, 4:28])


@pytest.mark.parametrize("missing", mnist.CHECKSUMS)
def test_a_missing_file_of_mnist_is_named(missing: str, tmp_path: Path) -> None:
    (write(tmp_path, mnist_files()) / missing).unlink()
    with pytest.raises(DataError, match="--data-dir") as refused:
        data.load(CNN, "mnist", tmp_path)
    assert str(tmp_path / missing) in str(refused.value)


def test_a_missing_tarball_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-dir") as refused:
        data.load(CNN, "cifar10", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / cifar10.FILE) in str(refused.value)


# Damaged files

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
PIXELS = gzip.decompress(mnist_files()[IMAGES])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (IMAGES, gzip.compress(PIXELS[:-1]), "in its header"),
        (IMAGES, gzip.compress(PIXELS + b"\0"), "in its header"),
        (IMAGES, gzip.compress(PIXELS[:4] + bytes([255] * 12) + PIXELS[16:]), "in its header"),
        (IMAGES, gzip.compress(PIXELS[:10]), "not an IDX file"),
        (IMAGES, gzip.compress(b""), "not an IDX file"),
        (IMAGES, gzip.compress(b"\0\0\x0d\x03" + PIXELS[4:]), "not an IDX file"),
        (IMAGES, mnist_files()[LABELS], "not an IDX file"),
        (IMAGES, mnist_files()[IMAGES][:-20], "not a complete gzip file"),
        (IMAGES, b"<html>Not found</html>", "not a complete gzip file"),
        (IMAGES, b"", "in its header|not an IDX file|not a complete gzip file"),
        (IMAGES, gzip.compress(PIXELS)[:-8] + bytes(8), "not a complete gzip file"),
        (IMAGES, gzip.compress(idx(np.zeros((70, 14, 56), np.uint8))), r"\(28, 28\)"),
        (IMAGES, mnist_files(train=69)[IMAGES], "each of 69 images"),
        (LABELS, gzip.compress(idx(np.full(70, 10, np.uint8))), "0 to 9"),
    ],
)
def test_a_damaged_idx_file_is_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    write(tmp_path, mnist_files() | {name: content})
    with pytest.raises(DataError, match=reason) as refused:
        data.load(CNN, "mnist", tmp_path)
    assert str(tmp_path / "train-") in str(refused.value)


def cifar_error(folder: Path, content: bytes) -> str:
    """What the loader says against a tarball; the test fails if it takes it."""
    write(folder, {cifar10.FILE: content})
    with pytest.raises(DataError) as refused:
        data.load(CNN, "cifar10", folder)
    assert str(folder / cifar10.FILE) in str(refused.value)
    return str(refused.value)


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
    said = cifar_error(tmp_path, tarball(cifar_members() | {FIRST: python_2(batch(1) | changed)}))
    assert reason in said
    assert FIRST in said


@pytest.mark.parametrize("content", [b"", b"no pickle", python_2(batch(1))[:-9], python_2([1]), python_2({b"data": 1})])
def test_a_damaged_pickle_is_refused(content: bytes, tmp_path: Path) -> None:
    said = cifar_error(tmp_path, tarball(cifar_members() | {FIRST: content}))
    assert "cannot be read" in said
    assert FIRST in said


@pytest.mark.parametrize(
    "content", [b"", b"<html>Not found</html>", gzip.compress(b"not a tar"), tarball(cifar_members())[:9000]]
)
def test_a_damaged_tarball_is_refused(content: bytes, tmp_path: Path) -> None:
    cifar_error(tmp_path, content)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
def test_a_tarball_without_one_of_the_batches_is_refused(name: str, tmp_path: Path) -> None:
    members = cifar_members()
    del members[f"cifar-10-batches-py/{name}"]
    assert f"lacks cifar-10-batches-py/{name}" in cifar_error(tmp_path, tarball(members))


# Hostile files


@dataclass
class Call:
    """Pickles as the call of a function, which a careless reader then runs."""

    function: Any
    arguments: tuple[Any, ...]

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize(
    "function", [os.system, eval, exec, getattr, np.load, functools.partial], ids=lambda function: function.__name__
)
def test_a_pickle_that_calls_a_function_is_refused(function: Any, tmp_path: Path) -> None:
    content = pickle.dumps({b"data": Call(function, ("anything",)), b"labels": []}, protocol=2)
    assert "UnpicklingError: it uses" in cifar_error(tmp_path, tarball(cifar_members() | {FIRST: content}))


def test_the_command_of_a_pickle_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps(Call(os.system, (f"touch '{trace}'",)), protocol=2)
    said = cifar_error(tmp_path, tarball(cifar_members() | {FIRST: content}))
    assert f"{os.name}.system" in said
    assert not trace.exists()
    pickle.loads(content)  # the test can fail: an open reader runs it
    assert trace.exists()


def test_a_pickle_of_objects_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(batch(1) | {b"data": np.array([Call(os.getcwd, ())], object)}, protocol=2)
    assert "getcwd" in cifar_error(tmp_path, tarball(cifar_members() | {FIRST: content}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("name", [FIRST, "cifar-10-batches-py/readme.html", "other", "cifar-10-batches-py"])
def test_a_link_or_a_device_is_refused(kind: bytes, name: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    assert f"contains {name!r}" in cifar_error(tmp_path, tarball(cifar_members(), member))


@pytest.mark.parametrize(
    "name",
    ["/etc/evil", "../evil", "cifar-10-batches-py/../../evil", "evil", f"/{FIRST}", f"./{FIRST}", f"other/{FIRST}"],
)
def test_a_member_of_another_name_is_refused_and_nothing_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert f"contains {name!r}" in cifar_error(
        tmp_path / "inner", tarball({name: python_2(batch(1))} | cifar_members())
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", cifar10.FILE]


def test_a_batch_that_comes_twice_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo(FIRST)
    content = python_2(batch(1))
    member.size = len(content)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for _ in range(2):
            tar.addfile(member, io.BytesIO(content))
    assert f"contains {FIRST!r}" in cifar_error(tmp_path, stream.getvalue())


# Fetching


@dataclass
class Server:
    """Serves a folder on 127.0.0.1 and counts what it is asked for."""

    folder: Path
    url: str
    asked: list[str]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
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
        yield Server(folder, f"http://127.0.0.1:{listening.server_port}/", asked)
        listening.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def mnist_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    files = mnist_files()
    assert list(files) == list(mnist.CHECKSUMS)
    write(server.folder, files)
    monkeypatch.setattr(mnist, "URL", server.url)
    monkeypatch.setattr(mnist, "CHECKSUMS", {name: md5(content) for name, content in files.items()})
    return server


def test_mnist_is_fetched_once_and_kept(mnist_server: Server) -> None:
    first = data.load(CNN, "mnist")
    assert sorted(mnist_server.asked) == sorted(f"/{name}" for name in mnist.CHECKSUMS)
    again = data.load(CNN, "mnist")
    assert len(mnist_server.asked) == 4
    assert_array_equal(first.x_train, again.x_train)
    assert sorted(path.name for path in cache_folder().iterdir()) == sorted(mnist.CHECKSUMS)


def test_cifar10_is_fetched_once_and_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tarball(cifar_members())
    write(server.folder, {cifar10.FILE: content})
    monkeypatch.setattr(cifar10, "URL", server.url + cifar10.FILE)
    monkeypatch.setattr(cifar10, "CHECKSUM", md5(content))
    first, again = data.load(CNN, "cifar10"), data.load(CNN, "cifar10")
    assert server.asked == [f"/{cifar10.FILE}"]
    assert_array_equal(first.x_train, again.x_train)


def test_what_was_kept_and_then_damaged_is_fetched_again(mnist_server: Server) -> None:
    data.load(CNN, "mnist")
    (cache_folder() / IMAGES).write_bytes(b"damaged")
    data.load(CNN, "mnist")
    assert mnist_server.asked.count(f"/{IMAGES}") == 2


def test_a_wrong_checksum_is_refused_and_nothing_kept(mnist_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mnist.CHECKSUMS, IMAGES, md5(b"another file"))
    with pytest.raises(DataError, match="checksum") as refused:
        data.load(CNN, "mnist")
    said = str(refused.value)
    assert IMAGES in said
    assert mnist_server.url in said
    assert "--data-dir" in said
    assert not any(cache_folder().iterdir())


def test_an_answer_of_404_is_named(mnist_server: Server) -> None:
    (mnist_server.folder / LABELS).unlink()
    with pytest.raises(DataError, match="the server answered 404") as refused:
        data.load(CNN, "mnist")
    assert LABELS in str(refused.value)
    assert "--data-dir" in str(refused.value)


@pytest.mark.usefixtures("server", "no_network")
@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_a_server_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(DataError, match="no answer, ConnectionError") as refused:
        data.load(CNN, source)
    assert "127.0.0.1:1/" in str(refused.value)
    assert "--data-dir" in str(refused.value)


def test_a_cache_that_cannot_be_written_is_named(mnist_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = mnist_server.folder / IMAGES  # a file where a folder should be
    monkeypatch.setenv("CROSSFRAME_CACHE", str(blocked))
    with pytest.raises(DataError, match="--data-dir") as refused:
        data.load(CNN, "mnist")
    assert str(blocked) in str(refused.value)


def test_the_cache_is_the_systems_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSFRAME_CACHE", raising=False)
    assert "crossframe" in str(cache_folder())
    monkeypatch.setenv("CROSSFRAME_CACHE", "elsewhere")
    assert cache_folder() == Path("elsewhere")


def test_the_published_files_are_named_with_their_checksums() -> None:
    assert len(mnist.CHECKSUMS) == 4
    assert mnist.URL.startswith("https://")
    assert cifar10.URL.startswith("https://")
    for checksum in (*mnist.CHECKSUMS.values(), cifar10.CHECKSUM):
        assert len(checksum) == len("md5:") + 32
