"""What benches/scripts.rs samples: a loop under so many functions."""

import wit_world


def loop(n):
    total = 0
    for i in range(n):
        total = (total * 31 + i) & 0xFFFF
    return total


def deep(depth, n):
    if depth > 1:
        return deep(depth - 1, n)
    return loop(n)


class WitWorld(wit_world.WitWorld):
    def work(self, depth, n):
        return deep(depth, n)
