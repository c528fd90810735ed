"""The program that tests/python_stores.rs runs in many stores."""

import wit_world
from wit_world import exports


def left_loop(n):
    total = 0
    for i in range(n):
        total = (total * 31 + i) & 0xFFFF
    return total


def right_loop(n):
    total = 0
    for i in range(n):
        total = (total * 31 + i) & 0xFFFF
    return total


def passes_on(n):
    return wit_world.go_on(n) + 1


def keep(n):
    return len([bytes(1 << 20) for _ in range(n)])


def generated(name, n):
    """Runs a function that is made for it, and forgotten afterwards: the next one is in the same place."""
    source = f"""
def {name}(n):
    total = 0
    for i in range(n):
        total = (total * 31 + i) & 0xFFFF
    return total
"""
    namespace = {}
    exec(compile(source, "<made>", "exec"), namespace)
    return namespace[name](n)


class Work(exports.Work):
    def left(self, n):
        return left_loop(n)

    def right(self, n):
        return right_loop(n)

    def through(self, n):
        return passes_on(n)

    def grow(self, n):
        return keep(n)

    def made_one(self, n):
        return generated("made_one", n)

    def made_two(self, n):
        return generated("made_two", n)
