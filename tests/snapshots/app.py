"""What the snapshots are of: one phase, again and again, until somebody ends the process.

As a component (its first argument is the phase), or as a script of any Python: `app.py PHASE`.
"""
import asyncio
import sys
import time

try:
    from wit_world import exports
    from wit_world.imports import environment
except ImportError:
    exports = environment = None


def count(n):
    total = 0
    for i in range(n):
        total ^= i * 7
    return total


# recursion: twenty frames of one function, then generators, then a function.


def numbers(n):
    for i in range(n):
        yield count(i)


def outer(n):
    yield from numbers(n)


def recurse(depth):
    if depth == 0:
        return sum(outer(300))
    return recurse(depth - 1) + 1


def recursion():
    return recurse(20)


# sorting: Python, C, Python, C, Python.


def key(x):
    return count(x % 50)


def pairs(x):
    return sorted(range(x, x + 20), key=key)


def sorting():
    return list(map(pairs, range(200)))


# awaiting: tasks, and coroutines that await one another.


class NoSelector:
    def select(self, timeout=None):
        return []

    def close(self):
        pass


class Loop(asyncio.BaseEventLoop):
    """An event loop that waits for nothing: components have no socket pairs, which asyncio's own loops need."""

    def __init__(self):
        super().__init__()
        self._selector = NoSelector()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


async def inner(n):
    total = count(n)
    await asyncio.sleep(0)
    return total


async def middle(n):
    return await inner(n) + 1


async def together():
    return await asyncio.gather(*(asyncio.create_task(middle(5000)) for _ in range(3)))


def awaiting():
    loop = Loop()
    result = loop.run_until_complete(together())
    loop.close()
    return result


# making: between a call of a class and its `__init__`, CPython has a frame of its own.


class Thing:
    def __init__(self, n):
        self.total = count(n)


def making():
    for i in range(3000):
        Thing(i % 100)


# names: characters of one byte that are not ASCII, of two, and of four.


def größe(n):
    return sum(длина(i) for i in range(n))


def длина(n):
    return 𐍈(n) + 1


def 𐍈(n):
    return len("ä" * count(n % 50))


def names():
    return größe(1000)


# raising: what is thrown goes through frames.


def raises(n):
    if n == 0:
        raise ValueError(count(200))
    raises(n - 1)


def catches():
    try:
        raises(5)
    except ValueError as error:
        return error.args[0] + count(100)


def raising():
    return [catches() for _ in range(300)]


# yielding: as many changes of the list of frames as possible.


def one_by_one():
    for i in range(50):
        yield i


def yielding():
    total = 0
    for _ in range(100):
        for i in one_by_one():
            total += i
    return total


# holding: Python says itself what its frames are, and waits.


def own_frames(frame):
    lines = []
    while frame:
        code = frame.f_code
        lines.append(f"{code.co_qualname} {code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return lines


def hold(frames):
    print(*frames, "", sep="\n", flush=True)
    time.sleep(600)
    return 0


def wait():
    # It is the same line when it is said and when it is seen, but not that of the next instruction.
    yield (
        hold(own_frames(sys._getframe()))
        + 1
    )


def holding():
    return list(map(lambda _: sum(wait()), range(1)))


PHASES = [recursion, sorting, awaiting, making, names, raising, yielding, holding]


def forever(name):
    (phase,) = (phase for phase in PHASES if phase.__name__ == name)
    while True:
        phase()


if exports:

    class Run(exports.Run):
        def run(self):
            forever(environment.get_arguments()[1])


if __name__ == "__main__":
    forever(sys.argv[1])
