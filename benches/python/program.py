"""A report on orders: it makes them, parses them, and has something of everything that programs do.

Always the same work and output. Runs by `python3 program.py`, and in a component by app.py. It is slow on purpose.
"""

import hashlib
import heapq
import json
import re

CITIES = ["Aachen", "Bergen", "Calais", "Dresden", "Evora", "Firenze", "Gdansk", "Helsinki"]
WORDS = ["blue", "chair", "desk", "large", "lamp", "oak", "red", "shelf", "small", "table", "walnut", "white"]


class Random:
    """Numbers that look random, the same everywhere."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n


class Order:
    def __init__(self, number, city, pieces, cents, text):
        self.number = number
        self.city = city
        self.pieces = pieces
        self.cents = cents
        self.text = text

    def total(self):
        total = self.pieces * self.cents
        if self.pieces > 10:
            total -= total * 3 // 100
        if self.city[0] in "AEIOU":
            total += 490
        return total


class Node:
    """A category with its subcategories."""

    def __init__(self, value):
        self.value = value
        self.children = []


def make_lines(count):
    """String building."""
    random = Random(42)
    lines = []
    for number in range(count):
        words = " ".join([WORDS[random.below(12)] for _ in range(3)] + [WORDS[number * 7 % 12]])
        lines.append(
            f"{number:06};{CITIES[random.below(8)]};{1 + number % 20};{100 + random.below(9900)};"
            f"{words} #{random.below(1000):03}-{WORDS[number % 12][:2].upper()}"
        )
    return lines


def parse_line(line):
    """Splitting and conversion."""
    number, city, pieces, cents, text = line.split(";")
    return Order(int(number), city.strip(), int(pieces), int(cents), text)


def read_orders(lines):
    """A generator, the first of a pipeline."""
    for line in lines:
        if line and not line.startswith("#"):
            yield parse_line(line)


def worth_it(orders, least):
    """A generator, the second of the pipeline."""
    for order in orders:
        if order.total() >= least:
            yield order


def sum_by_city(orders):
    """Dictionaries of integers."""
    sums = {}
    for order in orders:
        city = order.city
        count, pieces, cents = sums.get(city, (0, 0, 0))
        sums[city] = (count + 1, pieces + order.pieces, cents + order.cents)
    return sums


def sort_key(order):
    """What sorted() calls for each order."""
    return (-order.pieces, order.cents % 100, order.city[-1], order.number)


def sort_orders(orders):
    """Sorting with a key."""
    return sorted(orders, key=sort_key)


def count_words(orders):
    """Dictionaries of strings."""
    counts = {}
    for order in orders:
        for word in order.text.split():
            word = word.strip("#,.").lower()
            counts[word] = counts.get(word, 0) + 1
    return counts


def find_codes(text):
    """A regular expression over the text of all orders."""
    return len(re.findall(r"#(\d+)-([A-Z]{2})\b", text))


def edit_distance(a, b):
    """Two loops over lists."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = before[j - 1] + (x != y)
            if before[j] + 1 < cost:
                cost = before[j] + 1
            if row[j - 1] + 1 < cost:
                cost = row[j - 1] + 1
            row.append(cost)
        before = row
    return before[-1]


def make_roads(count):
    random = Random(7)
    roads = [[] for _ in range(count)]
    for here in range(count):
        for _ in range(4):
            there = random.below(count)
            length = 1 + random.below(90)
            roads[here].append((there, length))
            roads[there].append((here, length))
    return roads


def shortest_ways(roads, start):
    """Dijkstra's algorithm, with a heap."""
    far = {start: 0}
    heap = [(0, start)]
    while heap:
        length, here = heapq.heappop(heap)
        if length > far[here]:
            continue
        for there, more in roads[here]:
            way = length + more
            if there not in far or way < far[there]:
                far[there] = way
                heapq.heappush(heap, (way, there))
    return sum(far.values())


def load_truck(sizes, values, room):
    """Dynamic programming: the most that fits."""
    best = [0] * (room + 1)
    for size, value in zip(sizes, values):
        for left in range(room, size - 1, -1):
            other = best[left - size] + value
            if other > best[left]:
                best[left] = other
    return best[room]


def checksum(data):
    """Adler-32: arithmetic with integers, byte by byte."""
    low, high = 1, 0
    for byte in data:
        low = (low + byte) % 65521
        high = (high + low) % 65521
    return high << 16 | low


def smooth(values, rounds):
    """Arithmetic with floating point numbers."""
    for _ in range(rounds):
        last = values[0]
        for i in range(1, len(values) - 1):
            here = values[i]
            values[i] = 0.25 * last + 0.5 * here + 0.25 * values[i + 1]
            last = here
    return sum(values)


def grow(depth):
    node = Node(depth * 7 % 13)
    if depth:
        node.children = [grow(depth - 1) for _ in range(3)]
    return node


def weigh(node):
    """Recursion."""
    weight = node.value
    for child in node.children:
        weight += weigh(child) >> 1
    return weight


def render(orders):
    """A table of text."""
    rows = []
    for order in orders:
        rows.append(f"{order.number:>8} | {order.city:<10} | {order.pieces:>4} | {order.cents / 100:>10.2f} | {order.text}")
    return "\n".join(rows)


def export(orders):
    """JSON, there and back."""
    text = json.dumps([{"number": order.number, "city": order.city, "cents": order.cents} for order in orders])
    return len(json.loads(text))


def fingerprint(data):
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def main():
    lines = make_lines(25_000)
    text = "\n".join(lines)
    for _ in range(9):
        orders = list(worth_it(read_orders(lines), 2_000))
    print("orders", len(orders))
    for _ in range(28):
        sums = sum_by_city(orders)
    print("cities", sums["Bergen"])
    print("first", sort_orders(orders)[0].number)
    for _ in range(18):
        counts = count_words(orders)
    print("words", counts["oak"])
    print("codes", sum(find_codes(text) for _ in range(6)))
    print("distance", sum(edit_distance(lines[i][:30], lines[i + 1][:30]) for i in range(10_300)))
    roads = make_roads(2_000)
    print("ways", sum(shortest_ways(roads, start) for start in range(150)))
    sizes = [1 + order.pieces for order in orders[:640]]
    values = [order.cents for order in orders[:640]]
    print("truck", load_truck(sizes, values, 9_300))
    print("smooth", round(smooth([float(order.cents) for order in orders[:5_000]], 300), 3))
    tree = grow(9)
    print("weight", [weigh(tree) for _ in range(23)][0])
    for _ in range(10):
        table = render(orders)
    print("table", len(table))
    print("json", export(orders))
    print("checksum", checksum((table + text[:800_000]).encode()))
    print("sha256", fingerprint(table.encode()))


if __name__ == "__main__":
    main()
