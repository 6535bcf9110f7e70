"""tinyhyper.data: what is read from files is what they hold, or they are refused; and minibatches."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.data import text
from tinyhyper.data.images import CIFAR_BATCHES

SIZES = st.integers(0, 60)
BATCHES = st.integers(1, 70)
SEEDS = st.integers(0, 2**32 - 1)


def test_digits_have_the_stated_shapes_dtypes_and_ranges():
    data = th.data.digits()
    assert data.train_images.shape == (1437, 64) and data.test_images.shape == (360, 64)
    assert data.train_labels.shape == (1437,) and data.test_labels.shape == (360,)
    for images in (data.train_images, data.test_images):
        assert images.dtype == np.float32 and images.min() == 0 and images.max() == 1
    for labels in (data.train_labels, data.test_labels):
        assert np.issubdtype(labels.dtype, np.integer) and set(labels) == set(range(10))


@given(SEEDS)
def test_a_split_holds_every_digit_once_with_its_own_label(seed):
    def rows(data):
        images = np.concatenate([data.train_images, data.test_images])
        labels = np.concatenate([data.train_labels, data.test_labels])
        table = np.column_stack([images, labels])
        return table[np.lexsort(table.T)]

    reference = rows(th.data.digits())
    assert len(np.unique(reference, axis=0)) == 1797  # no digit is there twice, so a split cannot hide one
    np.testing.assert_array_equal(rows(th.data.digits(seed)), reference)


def test_a_split_is_chosen_by_its_seed_alone():
    first, again, other = th.data.digits(3), th.data.digits(3), th.data.digits(4)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.test_images, other.test_images)


def test_each_call_gives_arrays_of_its_own():
    th.data.digits().train_images[:] = 7
    assert th.data.digits().train_images.max() == 1


def test_digits_look_like_digits():
    """Ink is in the middle: of an 8x8 digit the outer columns are nearly empty, and a 0 has a hole."""
    data = th.data.digits()
    mean = data.train_images.reshape(-1, 8, 8).mean(axis=0)
    assert mean[:, [0, 7]].max() < 0.1 < 0.5 < mean[:, 3:5].mean()
    zero = data.train_images[data.train_labels == 0].reshape(-1, 8, 8).mean(axis=0)
    assert zero[3:5, 3:5].max() < 0.2 < zero[3:5, [2, 5]].min()


@given(SIZES, BATCHES, SEEDS)
def test_an_epoch_holds_every_row_once_beside_its_label(rows, size, seed):
    images, labels = np.arange(2 * rows).reshape(rows, 2), np.arange(rows)
    pairs = list(th.data.batches(images, labels, size, seed))
    assert [len(y) for _, y in pairs] == [size] * (rows // size) + [rows % size] * (rows % size > 0)
    for x, y in pairs:
        np.testing.assert_array_equal(x, images[y])
        assert not np.shares_memory(x, images)
    assert sorted(label for _, y in pairs for label in y) == list(range(rows))


@given(SIZES, BATCHES, SEEDS)
def test_what_does_not_fill_a_batch_can_be_left_out(rows, size, seed):
    images, labels = np.arange(2 * rows).reshape(rows, 2), np.arange(rows)
    whole = [y.tolist() for _, y in th.data.batches(images, labels, size, seed) if len(y) == size]
    assert [y.tolist() for _, y in th.data.batches(images, labels, size, seed, drop_last=True)] == whole


def order(seed, rows=50):
    return [int(label) for _, y in th.data.batches(np.zeros((rows, 1)), np.arange(rows), 8, seed) for label in y]


@given(SEEDS)
def test_a_number_repeats_an_order_and_a_generator_moves_on(seed):
    assert order(seed) == order(seed) != list(range(50))
    rng = np.random.default_rng(seed)
    assert [order(rng), order(rng)] == [order(rng2 := np.random.default_rng(seed)), order(rng2)]
    assert order(rng) != order(rng)


# Files of a user's own. Made-up sets have few bright pixels, so that even packed each byte of them can be tried.

OWN = os.environ.get("TINYHYPER_DATA")


@pytest.fixture(autouse=True)
def _no_folder_named(monkeypatch):
    monkeypatch.delenv("TINYHYPER_DATA", raising=False)


def pixels(count, size, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((count, size)) < 0.02, rng.integers(0, 256, (count, size)), 0).astype(np.uint8)


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(train=2, test=1):
    labels = np.random.default_rng(1).integers(0, 10, train + test).astype(np.uint8)
    shown = pixels(train + test, 784).reshape(-1, 28, 28)
    return {
        "train-images-idx3-ubyte": idx(shown[:train]),
        "train-labels-idx1-ubyte": idx(labels[:train]),
        "t10k-images-idx3-ubyte": idx(shown[train:]),
        "t10k-labels-idx1-ubyte": idx(labels[train:]),
    }


def cifar_files(*counts):
    """Two batches to train on and one to test with, of so many records."""
    names = [*CIFAR_BATCHES[: len(counts) - 1], "test_batch.bin"]
    rows = [pixels(count, 3073, seed) for seed, count in enumerate(counts)]
    for seed, batch in enumerate(rows):
        batch[:, 0] = np.random.default_rng(seed).integers(0, 10, len(batch))
    return {name: batch.tobytes() for name, batch in zip(names, rows, strict=True)}


def python_files(files, protocol=2, key=lambda name: name.encode()):
    """The same batches as they are published for Python: dicts of an array and a list."""
    found = {}
    for name, content in files.items():
        rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        batch = {"batch_label": b"", "labels": rows[:, 0].tolist(), "data": rows[:, 1:].copy(), "n": rows[0, 0]}
        found[name.removesuffix(".bin")] = pickle.dumps({key(x): y for x, y in batch.items()}, protocol)
    return found


def tarred(files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("cifar-10-batches-bin/readme.html"))
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def packed(files, folder=""):
    return {f"{folder}{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


def same(data, other):
    return all(np.array_equal(a, b) for a, b in zip(data, other, strict=True))


def loaded(load, folder):
    """What is loaded, or None where a DataError names a file in the folder, in one line."""
    try:
        return load(folder)
    except th.DataError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
        return None


MNIST_LAYOUTS = {
    "packed": packed(mnist_files()),
    "unpacked": mnist_files(),
    "packed in mnist": packed(mnist_files(), "mnist/"),
    "unpacked in mnist": {f"mnist/{name}": content for name, content in mnist_files().items()},
    "as torchvision keeps it": packed(mnist_files(), "MNIST/raw/") | {"FashionMNIST/raw/train-images-idx3-ubyte": b""},
    "with a dot": {name.replace("-idx", ".idx"): content for name, content in mnist_files().items()},
    "with a dot, packed": packed({name.replace("-idx", ".idx"): x for name, x in mnist_files().items()}, "raw/"),
    "in capitals": {name.upper(): content for name, content in packed(mnist_files(), "mnist/").items()},
    "each in a folder of its name": {f"{name}/{name}": content for name, content in mnist_files().items()},
    "with a dot, in a folder of its name": {
        f"{name}/{name}".replace("-idx", ".idx"): content for name, content in mnist_files().items()
    },
}
CIFAR_LAYOUTS = {
    "archive": {"cifar-10-binary.tar.gz": gzip.compress(tarred(cifar_files(2, 1, 3)))},
    "archive in cifar-10": {"cifar-10/cifar-10-binary.tar.gz": gzip.compress(tarred(cifar_files(2, 1, 3)))},
    "unpacked": {f"cifar-10-batches-bin/{name}": content for name, content in cifar_files(2, 1, 3).items()},
    "unpacked in cifar-10": {
        f"cifar-10/cifar-10-batches-bin/{name}": content for name, content in cifar_files(2, 1, 3).items()
    },
    "the unpacked folder itself": cifar_files(2, 1, 3),
    "unpacked in capitals": {f"CIFAR10/cifar-10-batches-bin/{x.upper()}": y for x, y in cifar_files(2, 1, 3).items()},
    "archive in capitals, no longer packed": {"CIFAR-10-BINARY.TAR": tarred(cifar_files(2, 1, 3))},
    "for Python": {"cifar-10-python.tar.gz": gzip.compress(tarred(python_files(cifar_files(2, 1, 3))))},
    "for Python, unpacked": {
        f"cifar-10-batches-py/{name}": content
        for name, content in (python_files(cifar_files(2, 1, 3)) | {"batches.meta": b""}).items()
    },
    "archive of its folder's name, as tgz": {"cifar-10-batches-bin.tgz": gzip.compress(tarred(cifar_files(2, 1, 3)))},
    "for Python, of its folder's name": {"cifar-10-batches-py.tar": tarred(python_files(cifar_files(2, 1, 3)))},
    "for Python, unpacked twice": {
        f"cifar-10-python/cifar-10-batches-py/{x}": y for x, y in python_files(cifar_files(2, 1, 3)).items()
    },
    "for Python, the folder itself": python_files(cifar_files(2, 1, 3), 5),
    "for Python, by Python 3 itself": python_files(cifar_files(2, 1, 3), 4, str),
}
NOVEL = "\ufeffCHAPTER I\r\n\r\n\u201cWell, Prince\u201d, so Genoa\r\nand Lucca are \xe0 la fin.\r\n\r\n"
TEXT_LAYOUTS = {
    "packed": {"war_and_peace.txt.gz": gzip.compress(NOVEL.encode())},
    "unpacked": {"war_and_peace.txt": NOVEL.encode()},
    "as published": {"warpeace_input.txt": NOVEL.encode()},
}


@pytest.mark.parametrize("layout", MNIST_LAYOUTS)
def test_mnist_is_read_as_it_was_written(layout, tmp_path):
    put(tmp_path, MNIST_LAYOUTS[layout])
    data, written = th.data.mnist(tmp_path), [np.frombuffer(x, np.uint8) for x in mnist_files().values()]
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.train_images.shape == (2, 784) and data.test_images.shape == (1, 784)
    for array, raw, start in zip(data, written, (16, 8, 16, 8), strict=True):
        scale = 255 if array.dtype == np.float32 else 1
        np.testing.assert_array_equal(np.rint(array.ravel() * scale), raw[start:])


@pytest.mark.parametrize("layout", CIFAR_LAYOUTS)
def test_cifar_is_read_as_it_was_written_with_channels_last(layout, tmp_path):
    put(tmp_path, CIFAR_LAYOUTS[layout])
    data = th.data.cifar10(tmp_path)
    rows = [np.frombuffer(content, np.uint8).reshape(-1, 3073) for content in cifar_files(2, 1, 3).values()]
    for shown, labels, batch in (
        (data.train_images, data.train_labels, np.concatenate(rows[:2])),
        (data.test_images, data.test_labels, rows[2]),
    ):
        assert shown.dtype == np.float32 and labels.dtype == np.int64 and shown.shape == (len(batch), 32, 32, 3)
        assert shown.flags.c_contiguous and shown.flags.writeable
        np.testing.assert_array_equal(labels, batch[:, 0])
        np.testing.assert_array_equal(np.rint(shown.transpose(0, 3, 1, 2).reshape(len(batch), -1) * 255), batch[:, 1:])


@pytest.mark.parametrize("layout", TEXT_LAYOUTS)
def test_a_text_is_read_without_mark_and_with_plain_line_ends(layout, tmp_path):
    put(tmp_path, TEXT_LAYOUTS[layout])
    data = th.data.war_and_peace(tmp_path)
    whole = data.decode(np.concatenate([data.train_ids, data.test_ids]))
    assert whole == "CHAPTER I\n\n\u201cWell, Prince\u201d, so Genoa\nand Lucca are \xe0 la fin."
    assert data.train_ids.dtype == data.test_ids.dtype == np.int64
    assert len(data.test_ids) == len(whole) // 20 > 0 and data.characters == "".join(sorted(set(whole)))


def test_the_checksum_of_a_text_is_the_same_however_its_lines_end(tmp_path):
    sums = set()
    for name, content in enumerate((NOVEL, NOVEL.strip(), NOVEL.replace("\r", ""), NOVEL.replace("\n", ""))):
        (tmp_path / f"{name}").write_bytes(content.encode())
        sums.add(text.text_sha256(tmp_path / f"{name}"))
    assert len(sums) == 1
    (tmp_path / "other").write_bytes(NOVEL.replace("Genoa", "Genua").encode())
    assert text.text_sha256(tmp_path / "other") not in sums
    (tmp_path / "other").write_bytes(b"\xff")
    assert text.text_sha256(tmp_path / "other") == hashlib.sha256(b"\xff").hexdigest()


SETS = [
    (th.data.mnist, MNIST_LAYOUTS["packed"]),
    (th.data.cifar10, {"cifar-10-binary.tar.gz": gzip.compress(tarred(cifar_files(1, 1, 1)), mtime=0)}),
    (th.data.war_and_peace, TEXT_LAYOUTS["packed"]),
]


@pytest.mark.parametrize(("load", "files"), SETS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_packed_file_is_read_whole_or_refused_wherever_it_breaks_off_or_is_altered(load, files, tmp_path):
    put(tmp_path, files)
    whole, rng = load(tmp_path), np.random.default_rng(0)
    for name, content in files.items():
        for place in range(len(content)):
            (tmp_path / name).write_bytes(content[:place])
            assert loaded(load, tmp_path) is None, f"{name} cut after {place} bytes"
            altered = bytearray(content)
            altered[place] ^= 1 << rng.integers(8)
            (tmp_path / name).write_bytes(altered)
            data = loaded(load, tmp_path)
            assert data is None or same(data, whole), f"{name} altered at {place}"
        (tmp_path / name).write_bytes(content + b"more")
        assert loaded(load, tmp_path) is None
        (tmp_path / name).write_bytes(content)


@given(st.data())
def test_an_unpacked_mnist_file_is_refused_or_read_to_the_byte(tmp_path_factory, data):
    folder, files = tmp_path_factory.mktemp("mnist"), mnist_files()
    put(folder, files)
    whole = th.data.mnist(folder)
    which = data.draw(st.integers(0, 3))
    name, content = list(files.items())[which]
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert loaded(th.data.mnist, folder) is None
    (folder / name).write_bytes(content + data.draw(st.binary(min_size=1)))
    assert loaded(th.data.mnist, folder) is None
    place, start = data.draw(st.integers(0, len(content) - 1)), 8 if which % 2 else 16
    value = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    (folder / name).write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
    found = loaded(th.data.mnist, folder)
    if place < start or (which % 2 and value > 9):
        assert found is None
    else:
        whole[which].reshape(-1)[place - start] = value if which % 2 else np.float32(value) / np.float32(255)
        assert same(found, whole)


@given(st.data())
def test_an_unpacked_cifar_file_is_refused_or_read_to_the_byte(tmp_path_factory, data):
    folder, files = tmp_path_factory.mktemp("cifar"), cifar_files(2, 1, 2)
    put(folder, files)
    whole = th.data.cifar10(folder)
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1).filter(lambda n: n != 3073))])
    assert loaded(th.data.cifar10, folder) is None
    (folder / name).write_bytes(content + data.draw(st.binary(min_size=1, max_size=3072)))
    assert loaded(th.data.cifar10, folder) is None
    place, value = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
    found, (row, byte) = loaded(th.data.cifar10, folder), divmod(place, 3073)
    if byte == 0 and value > 9:
        assert found is None
        return
    shown, labels = (whole[2], whole[3]) if name == "test_batch.bin" else (whole[0], whole[1])
    row += 2 * (name == "data_batch_2.bin")
    if byte == 0:
        labels[row] = value
    else:
        channel, pixel = divmod(byte - 1, 1024)
        shown[row, pixel // 32, pixel % 32, channel] = np.float32(value) / np.float32(255)
    assert same(found, whole)


def test_a_tar_archive_that_breaks_off_is_refused_though_its_gzip_stream_is_whole(tmp_path):
    whole = tarred(cifar_files(1, 1))
    for broken in (whole[:5000], whole[:4000], whole[: 512 * 8 + 7], b"", b"no archive", whole[:600]):
        put(tmp_path, {"cifar-10-binary.tar.gz": gzip.compress(broken)})
        assert loaded(th.data.cifar10, tmp_path) is None
    header = bytearray(whole)
    header[whole.index(b"cifar-10-batches-bin/test_batch")] ^= 1
    put(tmp_path, {"cifar-10-binary.tar.gz": gzip.compress(header)})
    with pytest.raises(th.DataError, match=r"cifar-10-binary\.tar\.gz' is a tar archive whose end is missing"):
        th.data.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train-labels-idx1-ubyte": idx(np.zeros(3, np.uint8))}, "has 2 images, but '.*' has 3 labels"),
        (
            {"t10k-images-idx3-ubyte": idx(np.zeros((1, 32, 32), np.uint8))},
            r"items of shape \(32, 32\), not \(28, 28\)",
        ),
        ({"t10k-images-idx3-ubyte": idx(np.zeros(1, np.uint8))}, "t10k-images-idx3-ubyte' does not begin like an IDX"),
        ({"t10k-labels-idx1-ubyte": idx(np.array([10], np.uint8))}, "labels image 0 as 10; labels are 0 to 9"),
    ],
)
def test_what_is_wrong_with_an_mnist_file_is_said(files, message, tmp_path):
    put(tmp_path, mnist_files() | files)
    with pytest.raises(th.DataError, match=message):
        th.data.mnist(tmp_path)


@pytest.mark.parametrize("missing", ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"])
def test_a_cifar_archive_without_one_of_its_files_is_refused(missing, tmp_path):
    files = {name: content for name, content in cifar_files(1, 1, 1, 1).items() if name != missing}
    put(tmp_path, {"cifar-10-binary.tar.gz": gzip.compress(tarred(files))})
    with pytest.raises(th.DataError, match=f"lacks {missing}"):
        th.data.cifar10(tmp_path)


class Program:
    """What a pickle could do."""

    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("batch", [
    Program(), [1], {b"data": np.zeros((2, 3072), np.uint8)},
    {b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, {b"data": np.zeros((2, 3072)), b"labels": [1, 2]},
    {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 256]}, {b"data": np.zeros((0, 3072)), b"labels": [0.5] * 0},
    {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}, b"not pickled",
])  # fmt: skip
def test_a_batch_for_python_that_is_none_is_refused_and_runs_nothing(batch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = batch if isinstance(batch, bytes) else pickle.dumps(batch, 2)
    put(tmp_path, python_files(cifar_files(1, 2)) | {"data_batch_1": content})
    with pytest.raises(th.DataError, match="data_batch_1' .*replace it by a whole copy"):
        th.data.cifar10(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_the_whole_set_is_told_with_what_it_holds(tmp_path):
    put(tmp_path, {f"photo{n}.png": b"" for n in range(12)} | {"MNIST/raw/T10K-LABELS-IDX1-UBYTE": b"", "MNIST/a": b""})
    with pytest.raises(th.DataError, match="but not train-images-idx3-ubyte.gz.*MNIST/raw' holds T10K-LABELS"):
        th.data.mnist(tmp_path)
    put(tmp_path, cifar_files(1, 1) | {"test_batch.bin": b""})
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(th.DataError, match="lacks test_batch.bin; it has data_batch_1.bin"):
        th.data.cifar10(tmp_path)


def test_text_that_is_no_text_is_refused(tmp_path):
    for content, message in ((b"\xff\xfe", "not UTF-8 text"), (b" \r\n ", "is empty")):
        put(tmp_path, {"war_and_peace.txt": content})
        with pytest.raises(th.DataError, match=message):
            th.data.war_and_peace(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "war_and_peace.txt").mkdir()
    with pytest.raises(th.DataError, match="war_and_peace.txt' cannot be read: Is a directory"):
        th.data.war_and_peace(tmp_path)


TEXTS = st.text(min_size=1)


@given(TEXTS)
def test_ids_stand_for_the_text(written):
    data = th.data.as_text(written)
    assert data.characters == "".join(sorted(set(written)))
    assert data.decode(data.encode(written)) == written
    ids = np.concatenate([data.train_ids, data.test_ids])
    np.testing.assert_array_equal(ids, [data.characters.index(character) for character in written])
    assert len(data.test_ids) == len(written) // 20 and ids.dtype == data.encode(written).dtype == np.int64


def test_characters_and_ids_outside_the_vocabulary_are_refused():
    data = th.data.as_text("abc")
    assert data.decode([2, 0, 1]) == "cab" and data.decode(np.int64(1)) == "b" and data.encode("").shape == (0,)
    for outside in (lambda: data.encode("abd"), lambda: data.decode([3]), lambda: data.decode([0, -1])):
        with pytest.raises(th.ArgumentError):
            outside()
    with pytest.raises(th.ArgumentError, match="at least one character"):
        th.data.as_text("")


@given(st.integers(1, 200), st.integers(1, 12), st.integers(1, 12))
def test_each_row_of_a_batch_of_text_continues_the_same_row_of_the_one_before(extra, size, length):
    ids = np.random.default_rng(extra).integers(0, 50, size + extra)
    pairs = list(th.data.sequences(ids, size, length))
    inputs, targets = (np.concatenate(side, axis=1) for side in zip(*pairs, strict=True))
    assert [x.shape[1] for x, _ in pairs[:-1]] == [length] * (len(pairs) - 1) and pairs[-1][0].shape[1] <= length
    columns = inputs.shape[1]
    np.testing.assert_array_equal(inputs.ravel(), ids[: size * columns])
    np.testing.assert_array_equal(targets.ravel(), ids[1 : size * columns + 1])
    assert 0 <= len(ids) - 1 - size * columns < size
    assert not any(np.shares_memory(x, ids) or np.shares_memory(y, ids) for x, y in pairs)


def windows(image, padding):
    """Every crop of the padded image, as it is and mirrored."""
    height, width, _ = image.shape
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    places = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
    crops = [padded[y : y + height, x : x + width] for y, x in places]
    return crops + [crop[:, ::-1] for crop in crops]


@given(
    st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    st.integers(0, 3),
    SEEDS,
    st.sampled_from([np.float32, np.float64, np.uint8]),
)
def test_a_crop_is_a_window_of_the_padded_image_or_its_mirror_image(shape, padding, seed, dtype):
    shown = np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)
    before = shown.copy()
    cropped = th.data.crop_and_flip(shown, seed, padding)
    assert cropped.shape == shape and cropped.dtype == dtype and not np.shares_memory(cropped, shown)
    np.testing.assert_array_equal(shown, before)
    for crop, image in zip(cropped, shown, strict=True):
        assert any(np.array_equal(crop, window) for window in windows(image, padding))


def test_every_window_comes_as_often_as_any_other():
    image = np.arange(1, 13, dtype=np.float32).reshape(2, 3, 2)
    crops = th.data.crop_and_flip(np.broadcast_to(image, (9000, 2, 3, 2)), 0, padding=1)
    counts = [int((crops == window).all(axis=(1, 2, 3)).sum()) for window in windows(image, 1)]
    assert len(counts) == 18 and sum(counts) == 9000 and 400 < min(counts) and max(counts) < 600


def test_crops_repeat_by_a_number_and_move_on_with_a_generator():
    shown = np.random.default_rng(0).random((20, 4, 4, 1))
    crop = th.data.crop_and_flip
    np.testing.assert_array_equal(crop(shown, 3), crop(shown, 3))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(crop(shown, rng), crop(shown, 3))
    assert not np.array_equal(crop(shown, rng), crop(shown, 3))


@given(st.tuples(*[st.integers(1, 5)] * 4), SEEDS)
def test_standardized_training_images_have_mean_0_and_deviation_1_in_each_channel(shape, seed):
    rng = np.random.default_rng(seed)
    train, test = (rng.random(shape, np.float32) * rng.random(shape[-1], np.float32) for _ in range(2))
    mean, deviation = th.data.channel_statistics(train)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, train.astype(np.float64).mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(deviation, train.astype(np.float64).std(axis=(0, 1, 2)), atol=1e-6)
    before = train.copy()
    data = th.data.standardize(th.data.Split(train, np.zeros(shape[0]), test, np.ones(shape[0])))
    np.testing.assert_array_equal(train, before)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    wide = deviation > 1e-3
    np.testing.assert_allclose(data.train_images.mean(axis=(0, 1, 2))[wide], 0, atol=1e-3)
    np.testing.assert_allclose(data.train_images.std(axis=(0, 1, 2))[wide], 1, atol=1e-3)
    np.testing.assert_allclose((data.test_images * deviation + mean)[..., wide], test[..., wide], atol=1e-5)
    np.testing.assert_array_equal([data.train_labels[0], data.test_labels[0]], [0, 1])


def test_a_channel_without_contrast_is_only_shifted():
    flat = np.full((2, 2, 2, 1), 0.5, np.float32)
    data = th.data.standardize(th.data.Split(flat, np.zeros(2), flat + 1, np.zeros(2)))
    assert (data.train_images == 0).all() and (data.test_images == 1).all()


needs_own = pytest.mark.skipif(not OWN, reason="TINYHYPER_DATA names no folder with the real sets")


@needs_own
def test_the_real_mnist():
    data = th.data.mnist(OWN)
    assert [array.shape for array in data] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert round(float(data.train_images.mean(dtype=np.float64)), 4) == 0.1307
    assert list(data.train_labels[:5]) == [5, 0, 4, 1, 9] and list(data.test_labels[:5]) == [7, 2, 1, 0, 4]


@needs_own
def test_the_real_cifar():
    data = th.data.cifar10(OWN)
    assert data.train_images.shape[1:] == data.test_images.shape[1:] == (32, 32, 3)
    counts = np.bincount(data.train_labels)
    assert len(counts) == 10 and len(set(counts)) == 1
    # Photographs are smooth: neighbouring pixels are closer by far than those of different images.
    shown = data.train_images[:500]
    apart = [np.abs(shown - other).mean() for other in (np.roll(shown, 1, axis=2), np.roll(shown, 1, axis=0))]
    assert 4 * apart[0] < apart[1]


@needs_own
def test_the_real_text():
    data = th.data.war_and_peace(OWN)
    assert data.decode(data.train_ids[:14]) == '"Well, Prince,' and len(data.train_ids) > 3_000_000
    assert data.decode(data.test_ids).endswith("of which we are not\nconscious.")
