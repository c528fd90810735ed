"""The program that tests/python.rs profiles. Each function has a loop, so that it takes enough time to be seen."""

import gc
import hashlib
import json
import time

from wit_world import exports


def single(n):
    total = 0
    for i in range(n):
        total = (total * 31 + i) & 0xFFFFFF
    return total


def triple(n):
    total = 0
    for i in range(n * 3):
        total = (total * 31 + i) & 0xFFFFFF  # HOT LINE
    return total


def recurse(depth, n):
    if depth > 1:
        return recurse(depth - 1, n) + 1
    return bottom(n)


def bottom(n):
    total = 0
    for i in range(n):
        total ^= i * 7
    return total


def numbers(n):
    for i in range(n):
        yield (i * 2654435761) & 0xFFFF  # NEXT NUMBER


def key(x):
    a = 0
    for i in range(20):
        a ^= x * i
    return a  # KEY


def mapped(x):
    a = 0
    for i in range(20):
        a += x ^ i
    return a


class Shape:
    def __init__(self, w, h):
        self.w = w
        self.h = h

    def area(self):
        a = 0
        for _ in range(40):
            a += self.w * self.h
        return a

    class Inner:
        @staticmethod
        def build(n):
            return [Shape(i, i + 1) for i in range(n)]


def raises(n):
    if n == 0:
        raise ValueError("at the bottom")
    raises(n - 1)


def caught(n):
    count = 0
    for _ in range(n):
        try:
            raises(10)
        except ValueError:
            count += 1
    return count


def comprehension(n):
    return sum([x * x & 7 for x in range(n)])  # COMPREHENSION


def größe(n):
    return sum(len("ä" * (i % 5)) for i in range(n))


def clock(n):
    for _ in range(n):
        time.monotonic()


def collects(n):
    for _ in range(n):
        gc.collect()


def hashes(n):
    data = bytes(100_000)
    for _ in range(n):
        hashlib.sha256(data).digest()


def parses(n):
    text = json.dumps(list(range(1000)))
    for _ in range(n):
        json.loads(text)


def main():
    # In turns: how fast the machine is changes with time.
    for _ in range(100):
        single(30_000)
        triple(30_000)
    recurse(200, 2_000_000)
    sum(numbers(1_500_000))
    sorted(range(150_000), key=key)
    sum(map(mapped, range(150_000)))
    max(range(1_500_000), key=lambda x: x * 31 ^ x >> 3)
    sum(shape.area() for shape in Shape.Inner.build(60_000))
    caught(60_000)
    comprehension(2_000_000)
    größe(1_000_000)
    clock(400_000)
    collects(20)
    hashes(30)
    parses(300)


class Run(exports.Run):
    def run(self):
        main()
        print("done")
