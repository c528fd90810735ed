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


class Work(exports.Work):
    def left(self, n):
        return left_loop(n)

    def right(self, n):
        return right_loop(n)

    def through(self, n):
        return passes_on(n)

    def grow(self, n):
        return keep(n)
