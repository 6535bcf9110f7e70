"""What `help` says of each public callable: its arguments, the shapes and dtypes of arrays, and errors.

Public is what tests/reference/public.txt lists. An optimizer's rule is left out: it is an equation, in the letters of
its class. An error is to be named where a call of the tables in helpers/bad_input raises it. Which dtype comes out of
an operation is tried.
"""

import ast
import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from bad_input import ROWS, world
from factory import arranged
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.program.replaying import Replay
from tinyhyper.testing.operations import ELEMENTWISE, OPERATIONS

LIST = Path(__file__).parent / "reference" / "public.txt"
CALL = re.compile(r"(?:(tinyhyper\.replay\(\)))?([\w.]+)(\(.*\))")
UNNAMED = {  # arguments that a docstring need not name, and why
    "tinyhyper.optim.Coordinate.locate name": "it is for the message of the error",
    "tinyhyper.optim.Optimizer args": "the hyperparameters of a subclass, in the order of its table",
    "tinyhyper.optim.Optimizer kwargs": "all the keywords that the docstring lists",
    "tinyhyper.optim.Optimizer.meaning key": "a name of the table",
    "tinyhyper.ops.operation.operation forgotten": "nobody gives it: it is there to catch @operation without VJPs",
}
ARRAYS = set(  # arguments of these names are arrays, unless their type says that they are not
    "array array_like arrays bias condition gradient gradients grad_outputs ids images index indices inputs labels "
    "logits max mean min operands outputs primals recurrent residual stacks start state tangents test_ids test_images "
    "test_labels train_ids train_images train_labels variance vectors weight x xs y".split()
)
OTHER = re.compile(r"int|str|bool|float|list|tuple\[int|Callable|dict|Mapping\[str, (Initial|float)")
ARGUMENT = re.compile(r"(?:^|(?<=[.:;] ))([a-z]\w*(?:, [a-z]\w*)*)(?: \([^)]*\))?: ")
SAME = re.compile(r"\bas (?:of|in|for) `?(?:th\.)?([\w.]*\w)")
SHAPE = re.compile(
    r"any shape|(its|their|the same|one|of the|primal's) shapes?|shapes? that|shapes and|of shape|of shapes|one axis"
    r"|one element|a number|\((\.\.\.|[a-z][\w' ]*|\d[\w' ]*)(, ?[\w'. ]+)*,?\)"
)
NUMBER = re.compile(
    r"\b(integers?|numbers?|floats?|how (many|often|long|far|much)|from 0|the bounds|the widths)\b|[<>]=? \d|\b\d,"
)
SOURCES = {  # what each comes from
    "nn.BatchNorm2d": "Ioffe and Szegedy",
    "batch_norm": "Ioffe and Szegedy",
    "nn.CharLSTM": "Chandra et al.",
    "lstm": "Hochreiter and Schmidhuber",
    "nn.Dropout": "Srivastava et al.",
    "nn.ResNet": "He et al.",
    "nn.ResidualBlock": "He et al.",
    "optim.AdaDelta": "Zeiler",
    "optim.AdaGrad": "Duchi et al.",
    "optim.Adam": "Kingma and Ba",
    "optim.AdamW": "Loshchilov and Hutter",
    "optim.RMSProp": "Hinton",
    "optim.SGD": "Polyak",
    "optim.clip_by_norm": "Pascanu, Mikolov and Bengio",
    "hyper.gradient": "Maclaurin et al.",
    "hyper.myopia": "Wu et al.",
    "hvp": "Pearlmutter",
    "data.crop_and_flip": "Deep Residual Learning",
    "data.digits": "Alpaydin and C. Kaynak",
}
DTYPE = re.compile(r"\b(float|float32|float64|floats|integers|int64|booleans|dtypes?)\b", re.IGNORECASE)
TAKEN = [np.dtype(kind) for kind in (bool, np.int8, np.int64, np.uint16, np.float32, np.float64)]
ANYWHERE = re.compile(r"\b(float32|float64|dtypes?|as booleans)\b", re.IGNORECASE)  # said once for several arguments
OUT = {  # what a docstring says of dtypes, and which one comes out for operands of one dtype; None where it is refused
    "as booleans": lambda kind: np.dtype(bool),
    "integers, without a gradient": lambda kind: np.dtype(np.intp),
    "(add up in (int64|64 bits)|Dtypes are as in `sum`)": lambda kind: np.add.reduce(np.empty(0, kind)).dtype,
    "(?i)integers and booleans become float64": lambda kind: kind if kind.kind == "f" else np.dtype(np.float64),
    "any dtype|any shape and dtype|has (its dtype|the dtype of x)|dtypes are promoted as in NumPy": lambda kind: kind,
    "float32 or float64": lambda kind: kind if kind.kind == "f" else None,
}
KINDS, FLOATS = st.sampled_from([*TAKEN, np.dtype(complex)]), st.sampled_from(TAKEN[-2:])
LAYERS = {  # shapes of arrays, and options
    "linear": ([(2, 3), (3, 4), (4,)], {}),
    "conv2d": ([(2, 5, 5, 3), (3, 3, 3, 4), (4,)], {}),
    "avg_pool2d": ([(2, 4, 4, 3)], {"kernel": 2}),
    "max_pool2d": ([(2, 4, 4, 3)], {"kernel": 2}),
    "batch_norm": ([(4, 3), (3,), (3,)], {}),
    "lstm": ([(4, 2, 3), (3, 8), (2, 8)], {}),
    "cross_entropy": ([(2, 3)], {"labels": [0, 1]}),
}


class Public(NamedTuple):
    """A public callable. told: its docstring, in one line.  arguments: without what a method belongs to."""

    name: str
    value: object
    told: str
    arguments: list

    def numbers(self):
        """The arguments that are integers or floats, but of a record, which says what each of its fields holds."""
        if not (dataclasses.is_dataclass(self.value) or hasattr(self.value, "_fields")):
            parameters = inspect.signature(self.value).parameters
            for name in self.arguments:
                if name in parameters and re.match(r"(\w+ \| )?(int|float)\b", str(parameters[name].annotation)):
                    yield name

    def arrays(self):
        """The arguments that are arrays; of a layer, those of its call."""
        layer = isinstance(self.value, type) and issubclass(self.value, th.nn.Layer) and self.value is not th.nn.Layer
        parameters = inspect.signature(self.value.__call__ if layer else self.value).parameters
        for name in [*parameters][1:] if layer else self.arguments:
            kind = getattr(parameters.get(name), "annotation", "int")
            if name in ARRAYS and not OTHER.match(str(getattr(kind, "__forward_arg__", kind))):
                yield name


def line(value):
    return " ".join((inspect.getdoc(value) or "").split())


def callables():
    for row in LIST.read_text(encoding="utf-8").splitlines():
        if (call := CALL.fullmatch(row)) and not call[2].endswith(".rule"):
            value, own = Replay if call[1] else th, None
            for part in call[2].split(".")[1:]:
                method = isinstance(value, type) and inspect.isfunction(inspect.getattr_static(value, part))
                value = getattr(value, part, None) or import_module(f"{value.__name__}.{part}")
                own = next(iter(inspect.signature(value).parameters)) if method else None
            arguments = [x.arg for x in ast.walk(ast.parse(f"lambda {call[3][1:-1]}: 0")) if isinstance(x, ast.arg)]
            yield Public((call[1] or "") + call[2], value, line(value), [name for name in arguments if name != own])


PUBLIC = {public.name: public for public in callables()}


def of(told, argument):
    """What a docstring says of an argument, up to the errors; if it says no shape, what it refers to, too."""
    places = [*ARGUMENT.finditer(told)]
    for place, after in zip(places, [*places[1:], None]):
        if argument in place[1].split(", "):
            text = told[place.end() : after and after.start()].partition("Raises ")[0]
            same = SAME.search(text)
            if same and not SHAPE.search(text) and (other := PUBLIC.get(f"tinyhyper.{same[1]}")):
                return f"{text} {of(other.told, argument)}"
            return text
    return ""


def lacking(public, told):
    """What a docstring does not say of arrays."""
    for argument in public.arrays():
        if not SHAPE.search(text := of(told, argument)):
            yield f"{public.name} {argument} has no shape: {text!r}"
        if not DTYPE.search(text) and not ANYWHERE.search(re.sub("Raises .*?(?=[.])", "", told)):
            yield f"{public.name} {argument} has no dtype: {text!r}"


def refusing():
    """Wrong calls of public functions, methods and objects, with the docstring that has to name the error."""
    public, common = [public.value for public in PUBLIC.values()], world()
    for row in ROWS:
        *statements, last = ast.parse(row.code).body
        call = last.value if isinstance(last, ast.Expr) else None
        if isinstance(call, ast.Call):
            names, bare = world() if statements else common, call.func
            while isinstance(bare, (ast.Call, ast.Subscript)):
                bare = bare.func if isinstance(bare, ast.Call) else bare.value
            exec(compile(ast.Module(statements, []), row.code, "exec"), names)
            try:
                value = eval(ast.unparse(bare), names)
            except th.MissingAttributeError:
                continue
            value = type(value) if isinstance(value, th.nn.Layer) else value
            if getattr(value, "__func__", value) in public and (bare is not call.func or bound(value, call)):
                yield row, value


def bound(function, call):
    """Whether a signature takes so many arguments, of these names: else the error needs no word."""
    try:
        inspect.signature(function).bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})
    except TypeError:
        return False
    return True


def test_each_docstring_names_every_argument():
    unnamed = {
        f"{public.name} {argument}"
        for public in PUBLIC.values()
        for argument in public.arguments
        if not re.search(rf"\b{argument}\b", public.told)
    }
    assert unnamed == {*UNNAMED}


@pytest.mark.parametrize("public", PUBLIC.values(), ids=PUBLIC)
def test_each_docstring_says_shape_and_dtype_of_arrays(public):
    assert [*lacking(public, public.told)] == []


@pytest.mark.parametrize("public", PUBLIC.values(), ids=PUBLIC)
def test_each_docstring_says_what_numbers_an_argument_may_be(public):
    assert not [name for name in public.numbers() if not NUMBER.search(of(public.told, name) or public.told)]


@pytest.mark.parametrize("name", SOURCES)
def test_each_docstring_names_its_source_and_the_year(name):
    assert re.search(rf"{re.escape(SOURCES[name])}[^.]*\b(19|20)\d\d\b", PUBLIC[f"tinyhyper.{name}"].told)


def test_the_rule_notices_what_is_left_out_of_any_docstring():
    for public in PUBLIC.values():
        for argument in public.arrays():
            without = re.sub(rf"\b{argument}\b(?=[\w, ]*(?: \([^)]*\))?: )", "other", public.told)
            assert f"{public.name} {argument} has no shape: ''" in lacking(public, without)
            bare = DTYPE.sub("", public.told)
            assert SAME.search(of(bare, argument)) or [*lacking(public, bare)], (public.name, argument)


def test_each_docstring_names_the_errors_of_wrong_calls():
    rows = [*refusing()]
    assert len(rows) > 400
    unnamed = [f"{row.code}: {row.error.__name__}" for row, value in rows if row.error.__name__ not in line(value)]
    assert unnamed == []


def try_dtype(name, arrays, options, kind, floats):
    """Call an operation on arrays of a dtype; of two dtypes, if these are floats."""
    told, kinds = PUBLIC[f"tinyhyper.{name}"].told, [kind, floats if kind.kind == "f" else kind] * len(arrays)
    operands = [x.astype(kind) for x, kind in zip(arrays, kinds)]
    words = next(words for words in OUT if re.search(words, f"{told} {of(told, 'x')}"))
    expected = OUT[words](np.result_type(*operands)) if kind in TAKEN else None
    call = OPERATIONS[name].of(th, name)
    if expected is None:
        assert "DtypeError" in told
        with pytest.raises(th.DtypeError):
            call(*operands, **options)
    else:
        assert call(*operands, **options).dtype == expected, words


SMOOTH = [name for name in OPERATIONS if f"tinyhyper.{name}" in PUBLIC and name not in {**ELEMENTWISE, **LAYERS}]


@pytest.mark.parametrize("name", SMOOTH)
@given(kind=KINDS, floats=FLOATS, data=st.data())
def test_an_operation_gives_the_dtype_that_is_told(name, kind, floats, data):
    example = data.draw(arranged(OPERATIONS[name]))
    try_dtype(name, example.arrays, example.options, kind, floats)


@pytest.mark.parametrize("name", LAYERS)
@given(kind=KINDS, floats=FLOATS)
def test_a_layer_gives_the_dtype_that_is_told(name, kind, floats):
    shapes, options = LAYERS[name]
    try_dtype(name, [np.arange(1.0, 1 + np.prod(shape)).reshape(shape) for shape in shapes], options, kind, floats)
