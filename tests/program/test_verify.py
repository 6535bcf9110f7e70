"""A program in which something has been made wrong is refused by name. (All other tests see that right ones run.)"""

from functools import cache

import numpy as np
import pytest
from backends import compiler_is_off, kernels
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam
from tinyhyper.program import native
from tinyhyper.program.layout import Layout
from tinyhyper.program.readings import each
from tinyhyper.program.rows import External
from tinyhyper.program.verify import verify

entries = kernels("entries")


def both(x, w):
    return x * w, x + w


def indexed_loss(params, x, rows):
    """An index comes with the batch, which Python carries out; and of two results one is not read."""
    product, _ = th.fuse(both)(x, params["w"][0, 0])
    indexed = th.sum(th.square(params["w"][rows] @ params["b"]))
    return th.mean(product) + indexed + loss_of(params, x, th.tensor(x)[:, :2])


TOWERS = {
    "plain": (loss_of, np.float64, lambda: Adam(1e-2, optimizer=SGD(1e-4)), False),
    "window": (loss_of, np.float64, lambda: Adam(1e-2, optimizer=SGD(1e-4), horizon=2), False),
    "indexed": (indexed_loss, np.float32, lambda: SGD(1e-2, optimizer=SGD(1e-4, optimizer=SGD(1e-6))), False),
    "side by side": (loss_of, np.float64, lambda: Adam(1e-2, optimizer=SGD(1e-4)), True),
    "side by side in a window": (loss_of, np.float32, lambda: Adam(1e-2, optimizer=SGD(1e-4), horizon=2), True),
}


def laid_out(name):
    return Layout(*recorded(name), True, TOWERS[name][-1], native.machine)


@cache
def recorded(name):
    """The program of a run, and what is watched."""
    loss, dtype, tower, _ = TOWERS[name]
    params, optimizer = make(tower(), dtype)
    train = th.replay(loss, params, optimizer, exact=True)
    for n, (x, y) in enumerate(batches(16, dtype)):
        train(x, np.arange(3) * n % 3 if loss is indexed_loss else y)
    return train.program, [("hyperparameter", 0, name) for name in optimizer._tuned[:1]]


@pytest.fixture
def rows(request, monkeypatch):
    """rows("c"): they call C functions, which are not there if nothing is compiled.  rows("python"): they do not."""

    def choose(how):
        if how == "python":
            request.getfixturevalue("by_python")
        elif compiler_is_off():
            monkeypatch.setattr(entries, "compiler_is_off", lambda: False)
            monkeypatch.setattr(entries.native, "address", lambda *kernel: 4096)

    return choose


class Faulty(Layout):
    """A layout with a fault in its rows or buffers, which its words follow."""

    def __init__(self, name, plant):
        self.plant = plant
        super().__init__(*recorded(name), True, TOWERS[name][-1], native.machine)

    def _place_rooms(self):
        self.plant(self)
        super()._place_rooms()


def check(layout):
    verify(layout, entries)


def lines(layout):
    """Body, line and row of all instructions that are carried out."""
    return [(n, k, row) for n, rows in enumerate(layout.rows) for k, row in enumerate(rows) if row.instruction]


def inside(row):
    return each(place for place in row if not isinstance(place, External))


def alike(layout, one, other):
    return layout.spec(one) == layout.spec(other)


def lies(layout, n, slot):
    """Where what body n reads in a slot, or a strip, lies in the first turn."""
    [slot, *_] = each([slot])
    return -slot if slot in layout.given else layout.offset(layout.versions.read(n, slot), 0)


def is_read(row, place):
    """Whether a row reads an operand, and that from memory. A fusion may have no use for one."""
    told = row.entry is None or entries.Operand(place) in row.entry.words
    return told and not isinstance(row.reads[place], External)


def is_written(row, slot):
    place = next(place for place, written in enumerate(row.writes) if slot in each([written]))
    return row.entry is None or entries.Output(place) in row.entry.words


# Faults in rows and buffers.


def drop_a_row(layout, choose):
    """A result is never made."""
    n, k, _ = choose(lines(layout))
    del layout.rows[n][k]


def swap_rows(layout, choose):
    """A result is read before it is made."""
    found = lines(layout)
    n, k, row = choose(found)
    j = choose(j for m, j, other in found if m == n and j > k and {*each(row.writes)} & {*inside(other.reads)})
    layout.rows[n][k], layout.rows[n][j] = layout.rows[n][j], layout.rows[n][k]


def swap_operands(layout, choose):
    """Another result is read."""
    n, k, row = choose(lines(layout))
    place, slot = choose((place, slot) for place, slot in enumerate(row.reads) if is_read(row, place))
    others = [other for m, _, maker in lines(layout) if m == n for other in maker.writes if alike(layout, slot, other)]
    other = choose(other for other in others if lies(layout, n, other) != lies(layout, n, slot))
    layout.rows[n][k] = row._replace(reads=(*row.reads[:place], other, *row.reads[place + 1 :]))


def free_early(layout, choose):
    """A result is put where another lies that is still read."""
    kept, written = pair(layout, choose)
    layout.offsets[written] = layout.offsets[kept]


def shrink_a_buffer(layout, choose):
    """Another begins before its last byte."""
    kept, written = pair(layout, choose)
    layout.offsets[written] = [offset + layout._bytes(kept) - 1 for offset in layout.offsets[kept]]


def pair(layout, choose):
    """A slot that an instruction reads, and one that is written since that was made."""
    n, k, row = choose(lines(layout))
    kept = choose(slot for place, whole in enumerate(row.reads) if is_read(row, place) for slot in each([whole]))
    made = choose(j for m, j, maker in lines(layout) if m == n and kept in each(maker.writes))
    between = [other for m, j, other in lines(layout) if m == n and made < j < k]
    return kept, choose(slot for other in between for slot in each(other.writes) if is_written(other, slot))


def take_no_turns(layout, choose):
    """A value is put where the one before it lies."""
    slot = choose(made for body in layout.lowered.bodies for _, made in body.after if len(layout.offsets[made]) > 1)
    layout.offsets[slot] = layout.offsets[slot][:1]


def write_what_stays(layout, choose):
    """A value that no step changes is written over."""
    kinds = {slot: layout.lowered.slots[slot].kind for slot in layout.offsets}
    read = {layout.versions.read(n, slot).slot for n, _, row in lines(layout) for slot in inside(row.reads)}
    stays = choose(slot for slot in read if kinds.get(slot) == "value")
    written = choose(slot for _, _, row in lines(layout) for slot in each(row.writes) if alike(layout, stays, slot))
    layout.offsets[written] = layout.offsets[stays]


def write_to_an_operand(layout, choose):
    n, _, row = choose(lines(layout))
    read = [whole for place, whole in enumerate(row.reads) if is_read(row, place)]
    slot = choose(slot for slot in each(read) if slot not in layout.given)
    version = layout.versions.read(n, slot)
    written = choose(other for other in each(row.writes) if is_written(row, other) and other != version.slot)
    layout.offsets[written] = [layout.offset(version, turn) for turn in range(3)]


def change_places(layout, choose):
    """What lies in a strip lies there in another order than that in which it is read."""
    strip = choose(layout.strips)
    one = choose(strip[:-1])
    other = strip[strip.index(one) + 1]
    layout.offsets[one], layout.offsets[other] = layout.offsets[other], layout.offsets[one]


def lose_the_loss(layout, choose):
    n = choose(range(len(layout.rows)))
    layout.rows[n] = [row for row in layout.rows[n] if layout.loss not in row.writes]


def take_another_part_of_the_batch(layout, choose):
    n, k, row = choose(line for line in lines(layout) if any(isinstance(slot, External) for slot in line[2].reads))
    place = choose(place for place, slot in enumerate(row.reads) if isinstance(slot, External))
    other = layout._add_outside(row.reads[place].spec)
    layout.rows[n][k] = row._replace(reads=(*row.reads[:place], other, *row.reads[place + 1 :]))


def lie_beyond_the_memory(layout, choose):
    slot = choose(layout.offsets)
    layout.offsets[slot] = [layout.size + (1 << 20)]


# Faults in what functions are told.


def change_an_entry(layout, choose, fits, change):
    n, k, row = choose((n, k, row) for n, k, row in lines(layout) if row.entry and fits(row.entry))
    layout.rows[n][k] = row._replace(entry=change(row.entry))


def take_for_longer(layout, choose):
    """A function is told of arrays that are longer than they are."""

    def doubled(entry):
        return entry._replace(words=tuple([2 * word if isinstance(word, int) else word for word in entry.words]))

    change_an_entry(layout, choose, lambda entry: any(k.ndim and k.layout == "C" for k in entry.kinds), doubled)


def take_for_another_dtype(layout, choose):
    def narrow(entry):
        return entry._replace(kinds=tuple([kind._replace(dtype="int16", total="") for kind in entry.kinds]))

    change_an_entry(layout, choose, lambda entry: True, narrow)


def shrink_the_batch(layout, choose):
    """A function is told of a longer part of the batch than there is."""
    n, k, row = choose(line for line in lines(layout) if line[2].entry and not {*line[2].reads} <= {*range(10_000)})
    place = choose(place for place, slot in enumerate(row.reads) if isinstance(slot, External))
    small = row.reads[place]._replace(spec=row.reads[place].spec._replace(shape=(0,)))
    layout.rows[n][k] = row._replace(reads=(*row.reads[:place], small, *row.reads[place + 1 :]))


# Faults in the tables, when all is written.


def change_a_word(layout, choose):
    """An offset is another one, or a number is."""
    told = {number for _, phases in layout.outside for numbers in phases for number in numbers}
    layout.words[choose(number for number in range(len(layout.words)) if number not in told)] += 8


def call_another(layout, choose):
    """An address is no function's, or that of words is not where they lie."""
    phase = choose(range(layout.phases))
    line = choose(line for line, row in layout.lines(phase) if row.entry)
    layout.tables[phase, line, choose([0, 1])] += 8


def call_for_python(layout, choose):
    """There is a function in a line that is Python's."""
    phase = choose(range(layout.phases))
    line = choose(line for line, row in layout.lines(phase) if row.entry is None)
    layout.tables[phase, line, 0] = 4096


def leave_a_word_outside(layout, choose):
    """A word that says where a part of the batch lies, or of the losses, stays as it is."""
    choose(numbers for _, phases in layout.outside for numbers in phases if numbers).pop()


def move_a_number(layout, choose):
    """A word that is a number is taken for an offset, or an offset for a number."""
    number = choose(range(len(layout.words)))
    layout.moving = np.setxor1d(layout.moving, [number])


ROWS = (
    drop_a_row, swap_rows, swap_operands, shrink_a_buffer, free_early, take_no_turns, write_what_stays,
    write_to_an_operand, change_places, lose_the_loss, take_another_part_of_the_batch, lie_beyond_the_memory,
)  # fmt: skip
FUNCTIONS = take_for_longer, take_for_another_dtype, shrink_the_batch
TABLES = {
    "c": (change_a_word, call_another, leave_a_word_outside, move_a_number),
    "python": (call_for_python,),
}
REFUSED = r"replay: the program is not run, as .+\. This is a fault of tinyhyper's"


def chooser(data):
    def choose(options):
        options = [*options]
        assume(options)
        return data.draw(st.sampled_from(options))

    return choose


FEW = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOW = [("c", plant) for plant in (*ROWS, *FUNCTIONS)] + [("python", plant) for plant in ROWS]
FAULTS = [(name, *how) for name in TOWERS for how in HOW if TOWERS[name][-1] or change_places not in how]


@pytest.mark.parametrize("name, how, plant", FAULTS)
@FEW
@given(data=st.data())
def test_a_program_with_a_fault_is_refused(rows, name, how, plant, data):
    rows(how)
    check(laid_out(name))
    layout = Faulty(name, lambda layout: plant(layout, chooser(data)))
    with pytest.raises(th.GraphError, match=REFUSED):
        check(layout)


@pytest.mark.parametrize("how, plant", [(how, plant) for how, plants in TABLES.items() for plant in plants])
@pytest.mark.parametrize("name", TOWERS)
@FEW
@given(data=st.data())
def test_tables_with_a_fault_are_refused(rows, name, how, plant, data):
    rows(how)
    layout = laid_out(name)
    plant(layout, chooser(data))
    with pytest.raises(th.GraphError, match=REFUSED):
        check(layout)


def test_the_operation_and_its_line_are_named(rows):
    rows("c")

    def plant(layout):
        [(n, k)] = [(n, k) for n, k, row in lines(layout) if row.instruction.op.name == "subtract"]
        del layout.rows[n][k]

    with pytest.raises(th.GraphError, match=r"as square at .*replayed\.py:\d+ does not find the result of subtract"):
        check(Faulty("plain", plant))


def test_two_results_in_one_place_are_refused_though_one_is_not_read(rows):
    rows("python")

    def plant(layout):
        [row] = [row for _, _, row in lines(layout) if row.instruction.op.name == "both"]
        [unread] = {*row.writes} & {*row.instruction.frees}
        layout.offsets[unread] = layout.offsets[min({*row.writes} - {unread})]

    with pytest.raises(th.GraphError, match="two results to one place"):
        check(Faulty("indexed", plant))
