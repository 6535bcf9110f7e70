"""Modes of generators, coroutines, tasks and threads: each holds where it was asked for, and nowhere else."""

import asyncio
import functools
import inspect
import threading

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.core.tape import NOBODY, current
from tinyhyper.ops.operation import OPERATIONS, operation

SWITCHES = [th.no_grad, th.detect_anomaly, th.record]


def on():
    """Whether operations are recorded here."""
    return (th.tensor(1.0, requires_grad=True) * 2.0).requires_grad


@th.no_grad()
def counting(upto):
    """Yields whether it is on, takes what is sent, and survives a ValueError."""
    got = []
    try:
        for _ in range(upto):
            try:
                got.append((yield on()))
            except ValueError:
                got.append(on())
    finally:
        got.append(on())
        ended.append(got)
    return got


ended = []


def test_a_generator_holds_its_mode_between_its_pauses_and_nowhere_else():
    assert inspect.isgeneratorfunction(counting) and counting.__name__ == "counting"
    body = counting(4)
    assert on() and next(body) is False and on()
    assert body.send("sent") is False and on()
    assert body.throw(ValueError()) is False and on()
    with th.no_grad():
        assert body.send("again") is False and not on()
    with pytest.raises(StopIteration) as stop:
        next(body)
    assert stop.value.value == ["sent", False, "again", None, False] and on()


def test_a_generator_that_is_closed_or_fails():
    body = counting(3)
    next(body)
    body.close()
    assert ended[-1] == [False] and on()
    body = counting(3)
    next(body)
    with pytest.raises(KeyError):
        body.throw(KeyError("from outside"))
    assert ended[-1] == [False] and on()

    @th.no_grad()
    def failing():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(failing())
    assert on()


def test_generators_that_take_turns():
    @th.detect_anomaly()
    def watched():
        for _ in range(3):
            yield current().watcher

    first, second = watched(), watched()
    tapes = [next(generator) for _ in range(3) for generator in (first, second)]
    assert tapes[0] is tapes[2] is tapes[4] is not tapes[1] is tapes[3] is tapes[5]
    assert current().watcher is NOBODY


def test_an_anomaly_in_a_generator_is_found():
    @th.detect_anomaly()
    def batches():
        x = th.tensor([0.0], requires_grad=True)
        yield x
        yield th.log(x)

    body = batches()
    x = next(body)
    assert th.log(x).data[0] == -np.inf
    with pytest.raises(th.AnomalyError, match="log"):
        next(body)


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_decorates_every_kind_of_function(switch):
    @switch()
    def plain():
        return current()

    @switch()
    def generator():
        yield current()

    @switch()
    async def coroutine():
        await asyncio.sleep(0)
        return current()

    @switch()
    async def several():
        await asyncio.sleep(0)
        yield current()

    async def main():
        return [await coroutine(), *[state async for state in several()]]

    assert inspect.iscoroutinefunction(coroutine) and inspect.isasyncgenfunction(several)
    with th.record():  # so that every switch changes something
        outside = current()
        found = [plain(), *generator(), *asyncio.run(main())]
        assert all(state != outside for state in found) and current() == outside
    assert current() == (True, NOBODY)


def test_tasks_record_for_themselves_across_an_await():
    async def evaluate(inside, outside):
        seen = []
        with th.no_grad():
            inside.set()
            await outside.wait()
            seen.append(on())
        return [*seen, on()]

    async def train(inside, outside):
        await inside.wait()
        seen = on()
        with th.record() as tape:
            await asyncio.sleep(0)
            outside.set()
            await asyncio.sleep(0)
            on()
        return seen, len(tape.nodes)

    async def main():
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(evaluate(*events), train(*events))

    assert asyncio.run(main()) == [[False, True], (True, 3)]


@th.no_grad()
async def decorated(pause):
    before = on()
    await pause
    return before, on()


@th.no_grad()
async def ticking():
    for _ in range(3):
        try:
            got = yield on()
            await asyncio.sleep(0)
            assert got is None or not on()
        except ValueError:
            yield "survived", on()


def test_decorated_coroutines_beside_others():
    async def other():
        seen = []
        for _ in range(4):
            await asyncio.sleep(0)
            seen.append(on())
        return seen

    async def main():
        return await asyncio.gather(decorated(asyncio.sleep(0)), other())

    assert asyncio.run(main()) == [(False, False), [True] * 4]


def test_a_coroutine_resumed_by_hand_leaves_nothing_between():
    class Pause:
        def __await__(self):
            return (yield "paused")

    body = decorated(Pause())
    assert body.send(None) == "paused" and on()
    with pytest.raises(StopIteration) as stop:
        body.send(None)
    assert stop.value.value == (False, False) and on()
    body = decorated(Pause())
    body.send(None)
    body.close()
    assert on()


def test_asynchronous_generators():
    async def main():
        seen = []
        async for value in ticking():
            seen += [value, on()]
        body = ticking()
        seen += [await body.asend(None), await body.asend(1), await body.athrow(ValueError()), on()]
        await body.aclose()
        with pytest.raises(StopAsyncIteration):
            await body.asend(None)
        return seen, on()

    seen, after = asyncio.run(main())
    assert seen == [False, True] * 3 + [False, False, ("survived", False), True] and after


def test_a_task_that_is_cancelled():
    async def main():
        task = asyncio.create_task(decorated(asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return on()

    assert asyncio.run(main())


def test_threads_begin_anew_and_copies_of_a_context_go_on():
    seen = []
    with th.no_grad():
        thread = threading.Thread(target=lambda: seen.append(on()))
        thread.start()
        thread.join()

    async def main():
        with th.no_grad():
            return await asyncio.to_thread(on)

    assert seen == [True] and asyncio.run(main()) is False


def test_partial_functions_and_methods():
    class Model:
        @th.no_grad()
        def outputs(self, n):
            for _ in range(n):
                yield on()

    assert list(Model().outputs(2)) == [False, False]
    assert list(th.no_grad()(functools.partial(Model().outputs, 1))()) == [False]
    assert th.no_grad()(functools.partial(on))() is False


def test_a_backward_pass_keeps_the_mode_that_it_is_called_in():
    x = th.tensor(3.0, requires_grad=True)
    seen = []

    def vjp(g):
        seen.append(current())
        return g

    @operation(x=vjp)
    def looked_at(x, /):
        return x + 0.0

    del OPERATIONS["looked_at"]
    with th.record() as tape:
        looked_at(x).backward()
        th.gradients(looked_at(x), x, create_graph=True)
        with th.no_grad():
            assert not looked_at(x).requires_grad
    assert seen == [(False, tape), (True, tape)] and current() == (True, NOBODY)
