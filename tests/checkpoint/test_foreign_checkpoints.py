"""Files that something else has written, with a right seal: each is refused before anything large is made."""

import hashlib
import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.checkpoint import archive
from tinyhyper.optim import SGD, Adam

MOST = 3_000_000  # bytes that may be made of a small file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def tower():
    return Adam(0.01, optimizer=SGD(1e-3))


def real(path):
    """A checkpoint as it is: of a run after a step and a backward pass that keeps its graph, with other things."""
    optimizer, params = tower(), {"w": th.tensor([[1.0, -2.0]] * 3, requires_grad=True)}
    th.sum(th.square(params["w"])).backward()
    optimizer.step(params)
    th.sum(th.square(params["w"])).backward(retain_graph=True)
    extra = {"a": [1, None, "text", (2,)], "t": th.tensor([1.0], requires_grad=True), "y": b"bytes", "f": 0.5}
    th.save(path, params, optimizer, **extra, order=np.arange(6.0).reshape(2, 3).T)
    return path.read_bytes()


def sealed(content):
    """The same bytes with the seal that belongs to them."""
    body = content[: content.rindex(archive.SEAL) + len(archive.SEAL)]
    return body + hashlib.sha256(body).hexdigest().encode()


def parts(content):
    """The entries, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        return {name: found.read(name) for name in found.namelist()}


def packed(entries, compression=zipfile.ZIP_STORED):
    """A file of such entries, by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as found:
        found.comment = archive.SEAL
        for name, content in entries:
            with found.open(name, "w") as entry:
                entry.write(content)
    return sealed(file.getvalue())


def head(params=None, **extra):
    """The JSON of a checkpoint without a tower."""
    content = {"params": params or {"dict": []}, "tower": None, "extra": {"dict": list(extra.items())}}
    whole = {"format": archive.FORMAT, "version": archive.VERSION, "content": {"dict": list(content.items())}}
    return archive.ENTRY, json.dumps(whole).encode()


def npy(header, body=b"", version=1):
    """An npy file with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + body


def array(shape=(3,), dtype="<f8", body=bytes(24), strides=(8,), version=1, fortran=False):
    """A checkpoint with one array."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    entry = {"array": {"number": 0, "strides": list(strides)}}
    return packed([head(x=entry), ("0.npy", npy(header, body, version))])


def param(value, requires_grad=True, dtype="<f8", body=bytes(24)):
    """A checkpoint with one parameter."""
    entry = {"dict": [["value", value], ["requires_grad", requires_grad]]}
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (3,), }}"
    return packed([head(params={"dict": [["w", entry]]}), ("0.npy", npy(header, body))])


def changed(content, place, layout, *values):
    """With numbers of the last entry's line in the directory changed, in place."""
    content = bytearray(content)
    struct.pack_into(layout, content, content.rindex(b"PK\x01\x02") + place, *values)
    return sealed(bytes(content))


WHOLE = array(body=np.arange(3.0).tobytes())
ARRAY = {"array": {"number": 0, "strides": [8]}}
ZEROS = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2000000,), }", bytes(16_000_000))
FOREIGN = {
    "more than memory": array((10**13,)),
    "more than an address": array((2**70,)),
    "more than an address of nothing": array((0, 2**70), body=b""),
    "below zero": array((-1,)),
    "below zero twice": array((-1, -3)),
    "no number": array(("a",)),
    "fewer": array((2,)),
    "elements of no size": array((2**62,), "|V0", b""),
    "elements of a great size": array((1,), "|V2000000000"),
    "a subarray of a great size": array((1,), [("a", "<f8", (10**9,))]),
    "another version": array(version=3),
    "no version": packed([head(x=ARRAY), ("0.npy", b"\x93NUMPY\x09\x09")]),
    "no npy": packed([head(x=ARRAY), ("0.npy", b"words")]),
    "a header of brackets": packed([head(x=ARRAY), ("0.npy", npy("(" * 9000))]),
    "a header of megabytes": packed([head(x=ARRAY), ("0.npy", npy(" " * 3_000_000, version=2))]),
    "deep lists": packed([(archive.ENTRY, b"[" * 100_000)]),
    "deep lists that end": packed([(archive.ENTRY, head(x=0)[1].replace(b"0]", b"[" * 5000 + b"]" * 5001))]),
    "deep tuples": packed([(archive.ENTRY, head(x=0)[1].replace(b"0]", b'{"tuple": [' * 900 + b"]}" * 900 + b"]"))]),
    "digits": packed([(archive.ENTRY, head(x=0)[1].replace(b"0]", b"9" * 5000 + b"]"))]),
    "no JSON": packed([(archive.ENTRY, b"\xff\xfe")]),
    "deflated": packed([head(x=ARRAY), ("0.npy", npy("{}"))], zipfile.ZIP_DEFLATED),
    "a bomb": packed([head(x=ARRAY), ("0.npy", ZEROS)], zipfile.ZIP_DEFLATED),
    "lzma": packed([head(x=ARRAY), ("0.npy", npy("{}"))], zipfile.ZIP_LZMA),
    "method 99": changed(WHOLE, 10, "<H", 99),
    "encrypted": changed(WHOLE, 8, "<H", 1),
    "a patch": changed(WHOLE, 8, "<H", 0x20),
    "of a later zip": changed(WHOLE, 6, "<H", 99),
    "larger than the file": changed(WHOLE, 20, "<II", 2**31, 2**31),
    "read as larger than the file": changed(WHOLE, 20, "<I", 2**31),
    "entries that overlap": changed(WHOLE, 42, "<I", 0),
    "an entry behind the end": changed(WHOLE, 42, "<I", 2**31),
    "one name twice": packed([head(x=ARRAY), ("0.npy", npy("{}")), ("1.npy", b"")]).replace(b"1.npy", b"0.npy"),
    "another name": packed([head(x=ARRAY), ("words", b"")]),
    "a gap": array(strides=(16,)),
    "an overlap": array(strides=(4,)),
    "one for all": array(strides=(0,)),
    "backwards": array(strides=(-8,)),
    "strides of another": array(strides=(8, 8)),
    "great strides": array(strides=(2**70,)),
    "strides of words": array(strides=("a",)),
    "rows in rows": array((2, 3), body=bytes(48), strides=(8, 8)),
    "text as a number": packed([head(x={"scalar": {"dtype": "<U2", "bytes": "00" * 8}})]),
    "two numbers as one": packed([head(x={"scalar": {"dtype": "<f8", "bytes": "00" * 16}})]),
    "a parameter of text": param(ARRAY, dtype="<U2"),
    "a parameter of halves": param(ARRAY, dtype="<f2", body=bytes(6)),
    "a parameter of integers": param(ARRAY, dtype="<i8"),
    "a constant of text": param(ARRAY, False, "<U2"),
    "a constant of halves": param(ARRAY, False, "<f2", bytes(6)),
    "a constant of the other byte order": param(ARRAY, False, ">f8"),
    "a parameter that is no array": param(1.5),
    "a tensor of complex numbers": packed([head(x={"tensor": [{"dtype": "<c8", "bytes": "00" * 8}, False]})]),
    "no names": packed([head(x={"named": ["Two", ["a"], [1, 2]]})]),
    "an extra that is none": packed([(archive.ENTRY, head(x=0)[1].replace(b'{"dict": [["x", 0]]}', b"5"))]),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_foreign_is_refused_before_anything_large_is_made(content, path):
    path.write_bytes(sealed(content))
    tracemalloc.start()
    try:
        with pytest.raises(th.CheckpointError):
            th.load(path)
        assert tracemalloc.get_traced_memory()[1] < MOST + 10 * len(content)
    finally:
        tracemalloc.stop()


def test_one_array_that_is_named_a_thousand_times_is_made_once(path):
    """As the bytes of extras, and as the states of parameters that are no more."""
    optimizer, params = tower(), {"w": th.tensor(np.ones(20_000), requires_grad=True)}
    th.sum(th.square(params["w"])).backward()
    optimizer.step(params)
    th.save(path, params, optimizer, x=[np.zeros(20_000).tobytes()])
    content = path.read_bytes()
    states, whole = items(content, "tower", "levels", 0, "state")
    states["dict"] += [[f"w{n}", states["dict"][0][1]] for n in range(1000)]
    extra = next(pair[1] for pair in whole["content"]["dict"] if pair[0] == "extra")
    extra["dict"][0][1] *= 1000
    path.write_bytes(with_json(content, whole))
    tracemalloc.start()
    try:
        found = th.load(path, tower()).extra["x"]
        assert len(found) == 1000 and found[-1] == bytes(160_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_what_is_foreign_but_fits_is_loaded(path):
    path.write_bytes(WHOLE)
    assert th.load(path).extra["x"].tolist() == [0.0, 1.0, 2.0]
    path.write_bytes(array((2, 3), body=np.arange(6.0).tobytes(), strides=(8, 16), version=2))
    found = th.load(path).extra["x"]
    assert found.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and found.strides == (8, 16)


def tree_of(content):
    return json.loads(parts(content)[archive.ENTRY])


def places(tree):
    """All that is in lists and dicts of JSON, as the container and the key."""
    for key in range(len(tree)) if isinstance(tree, list) else list(tree):
        yield tree, key
        if isinstance(tree[key], (list, dict)):
            yield from places(tree[key])


def items(content, *keys):
    """The container at the end of some keys of dicts in the JSON, and the JSON."""
    whole = tree_of(content)
    found = whole["content"]
    for key in keys:
        found = next(pair[1] for pair in found["dict"] if pair[0] == key) if isinstance(key, str) else found[key]
    return found, whole


def with_json(content, tree):
    entries = parts(content)
    return packed([(archive.ENTRY, json.dumps(tree).encode()), *list(entries.items())[1:]])


NUMBER = {"array": {"dtype": "<f8", "bytes": "00" * 8}}
TOWERS = {
    "a gradient of another shape": (("params", "w", "gradient"), NUMBER),
    "a gradient that is no array": (("params", "w", "gradient"), 1.5),
    "a weight of another shape": (("params", "w", "value"), NUMBER),
    "no level above": (("tower", "hyperparameters"), []),
    "no hyperparameters": (("tower", "hyperparameters"), [{"dict": []}, {"dict": []}]),
    "a state of another shape": (
        ("tower", "levels", 0, "state"), {"dict": [["w", {"dict": [["m", NUMBER], ["v", NUMBER]]}]]},
    ),
    "no states to begin with": (("tower", "levels", 0, "initial"), {"dict": []}),
    "a state of another": (("tower", "levels", 0, "initial"), {"dict": [["x", 0.0]]}),
    "a last step of words": (("tower", "last"), ["x"]),
    "a last step of other weights": (("tower", "last", "weights", "w", "value"), NUMBER),
    "a last step of other gradients": (("tower", "last", "weights", "w", "gradient"), NUMBER),
    "a last step of other levels": (("tower", "last", "hyperparameters"), []),
    "a last step of other hyperparameters": (("tower", "last", "hyperparameters", 0), {"dict": []}),
    "a last step of other states": (
        ("tower", "last", "states", 0), {"dict": [["w", {"dict": [["m", NUMBER], ["v", NUMBER]]}]]},
    ),
    "a last step of no states": (("tower", "last", "states", 0), {"dict": [["w", {"dict": []}]]}),
    "a last step that nobody has counted": (("tower", "last", "t"), []),
    "other rules": (("tower", "rules", 0, ""), "x"),
    "rules of other levels": (("tower", "rules"), []),
}  # fmt: skip


@pytest.mark.parametrize("keys, value", TOWERS.values(), ids=TOWERS)
def test_a_tower_that_does_not_hold_together_is_refused_and_changes_nothing(keys, value, path):
    content = real(path)
    found, whole = items(content, *keys[:-1])
    if isinstance(keys[-1], int):
        found[keys[-1]] = value
    else:
        (pair,) = [pair for pair in found["dict"] if pair[0] == keys[-1]]
        pair[1] = value
    path.write_bytes(with_json(content, whole))
    optimizer = tower()
    before = str(optimizer.state_dict())
    with pytest.raises(th.CheckpointError):
        th.load(path, optimizer)
    assert str(optimizer.state_dict()) == before


def test_a_file_of_which_one_thing_is_missing_is_refused_and_changes_nothing_or_can_be_loaded(path):
    content = real(path)
    count = sum(isinstance(place, list) for place, _ in places(tree_of(content)))
    for n in range(count):
        whole = tree_of(content)
        there, key = [place for place in places(whole) if isinstance(place[0], list)][n]
        del there[key]
        path.write_bytes(with_json(content, whole))
        optimizer = tower()
        before = str(optimizer.state_dict())
        try:
            th.load(path, optimizer)
        except th.CheckpointError:
            assert str(optimizer.state_dict()) == before, (n, there)


def test_a_tower_of_version_0_1_0_is_refused_with_a_word_and_its_weights_are_read(path):
    """That version wrote down the graph behind a tower, and had format 1."""
    whole = tree_of(content := real(path))
    whole["version"] = 1
    (tower_,) = [pair[1] for pair in whole["content"]["dict"] if pair[0] == "tower"]
    (last,) = [pair for pair in tower_["dict"] if pair[0] == "last"]
    last[:] = ["graph", []]
    path.write_bytes(with_json(content, whole))
    with pytest.raises(th.CheckpointError, match=r"tinyhyper 0\.1\.0 saved it .* Load the weights"):
        th.load(path, tower())
    params, _ = th.load(path)
    assert params["w"].shape == (3, 2) and params["w"].is_leaf and params["w"].grad is None


@pytest.mark.parametrize("name", ["deflated", "a bomb", "lzma", "method 99", "encrypted", "a patch"])
def test_a_compressed_or_encrypted_entry_is_said_to_be_that(name, path):
    path.write_bytes(FOREIGN[name])
    with pytest.raises(th.CheckpointError, match="an entry is compressed or encrypted, which save\\(\\) never does"):
        th.load(path)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return real(tmp_path_factory.mktemp("real") / "run.npz")


def spoilt(content, data):
    """A few bytes, numbers in the directory, or parts of the JSON are others."""
    how = data.draw(st.sampled_from(["bytes", "directory", "JSON", "npy"]))
    if how == "JSON":
        tree = tree_of(content)
        for _ in range(data.draw(st.integers(1, 3))):
            every = list(places(tree))
            there, key = data.draw(st.sampled_from(every))
            other, name = data.draw(st.sampled_from(every))
            copied = json.loads(json.dumps(other[name]))
            there[key] = data.draw(st.sampled_from([copied, None, -1, 2**70, "x", [], {}, "<f2", 1e300, [[[]]] * 9]))
        return with_json(content, tree)
    if how == "npy":
        entries = [[name, bytearray(entry)] for name, entry in parts(content).items()]
        _, entry = data.draw(st.sampled_from(entries[1:]))
        for _ in range(data.draw(st.integers(1, 3))):
            entry[data.draw(st.integers(0, min(len(entry), 120) - 1))] = data.draw(st.integers(0, 255))
        return packed([(name, bytes(entry)) for name, entry in entries])
    content = bytearray(content)
    directory = content.index(b"PK\x01\x02")
    first = directory if how == "directory" else 0
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(first, len(content) - 80))] = data.draw(st.sampled_from([0, 1, 8, 255, 99]))
    return sealed(bytes(content))


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data(), with_tower=st.booleans())
def test_whatever_is_spoilt_is_refused_or_can_be_used(data, with_tower, original, tmp_path_factory):
    path = tmp_path_factory.mktemp("spoilt") / "run.npz"
    path.write_bytes(spoilt(original, data))
    optimizer = tower() if with_tower else None
    before = str(optimizer and optimizer.state_dict())
    tracemalloc.start()
    try:
        params, extra = th.load(path, optimizer)
    except th.CheckpointError:
        assert str(optimizer and optimizer.state_dict()) == before
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST
    th.save(path, {name: th.tensor(w) for name, w in params.items()}, extra=extra)
    for w in params.values():
        if w.requires_grad:
            try:
                th.sum(th.square(w)).backward()
                (optimizer or SGD(0.1)).step({"w": w})
            except th.TinyhyperError:  # what is wrong with numbers is told when they are used
                return
