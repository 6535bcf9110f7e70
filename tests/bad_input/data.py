"""Loaders, batches and texts."""

from tinyhyper import ArgumentError, DataError, DtypeError, ShapeError

from .rows import bad

DATA = [
    bad("th.data.batches(a, labels, 0)", ArgumentError, "batches", "size", "0"),
    bad("th.data.batches(a, labels, 'x')", DtypeError, "batches", "size='x'"),
    bad("th.data.batches(a, labels, 2.5)", DtypeError, "batches", "size=2.5"),
    bad("th.data.batches(a, labels, None)", DtypeError, "batches", "size=None"),
    bad("th.data.batches(a, labels[:1], 2)", ShapeError, "batches", "2 images", "1 labels"),
    bad("th.data.batches(1.0, labels, 2)", ShapeError, "batches", "()"),
    bad("th.data.batches(a, 5, 2)", ShapeError, "batches", "()"),
    bad("th.data.batches(a, labels, 2, seed='x')", DtypeError, "batches", "seed='x'"),
    bad("th.data.batches(a, labels, 2, seed=-1)", ArgumentError, "batches", "seed=-1"),
    bad("th.data.crop_and_flip(a)", ShapeError, "crop_and_flip", "(2, 3)"),
    bad("th.data.crop_and_flip(images.data, rng, -1)", ArgumentError, "crop_and_flip", "-1"),
    bad("th.data.crop_and_flip(images.data, rng, 'a')", DtypeError, "crop_and_flip", "padding='a'"),
    bad("th.data.crop_and_flip(images.data, 1.5)", DtypeError, "crop_and_flip", "seed=1.5"),
    bad("th.data.sequences(np.arange(9), 0, 2)", ArgumentError, "sequences", "0"),
    bad("th.data.sequences(np.arange(9), 2, 'x')", DtypeError, "sequences", "length='x'"),
    bad("th.data.sequences(np.arange(9), 9, 2)", ShapeError, "sequences", "(9,)"),
    bad("th.data.sequences(a, 2, 2)", ShapeError, "sequences", "(2, 3)"),
    bad("th.data.digits(seed='x')", DtypeError, "digits", "seed='x'"),
    bad("th.data.digits(-1)", ArgumentError, "digits", "seed=-1"),
    bad("th.data.mnist('/no/such/folder')", DataError, "mnist", "/no/such/folder"),
    bad("th.data.mnist(5)", DtypeError, "mnist", "folder=5"),
    bad("th.data.cifar10('/no/such/folder')", DataError, "cifar10", "/no/such/folder"),
    bad("th.data.war_and_peace([1])", DtypeError, "war_and_peace", "folder=[1]"),
    bad("th.data.channel_statistics(a)", ShapeError, "channel_statistics", "(2, 3)"),
    bad("th.data.channel_statistics([1.0])", ShapeError, "channel_statistics", "(1,)"),
    bad("th.data.channel_statistics(None)", ShapeError, "channel_statistics", "()"),
    bad("th.data.standardize(a)", DtypeError, "standardize", "Split", "ndarray"),
    bad("th.data.standardize(th.data.Split(a, labels, a, labels))", ShapeError, "(2, 3)"),
    bad("th.data.as_text('')", ArgumentError, "as_text", "empty"),
    bad("th.data.as_text(5)", DtypeError, "as_text", "int"),
    bad("th.data.as_text(b'bytes')", DtypeError, "as_text", "bytes"),
    bad("th.data.as_text('abc').encode('abz')", ArgumentError, "encode", "'z'"),
    bad("th.data.as_text('abc').encode(5)", DtypeError, "encode", "int"),
    bad("th.data.as_text('abc').decode([0, 3])", ArgumentError, "decode", "3"),
    bad("th.data.as_text('abc').decode([0.5])", DtypeError, "decode", "float64"),
    bad("th.data.as_text('abc').decode('a')", DtypeError, "decode", "integers"),
]
