// A report on orders: it makes them, parses them, and has something of everything that programs do.
//
// Always the same work and output. Runs as a component, whose export is `run`, and by Node. It is slow on purpose.

const CITIES = ["Aachen", "Bergen", "Calais", "Dresden", "Evora", "Firenze", "Gdansk", "Helsinki"];
const WORDS = ["blue", "chair", "desk", "large", "lamp", "oak", "red", "shelf", "small", "table", "walnut", "white"];

/** Numbers that look random, the same everywhere. */
class Random {
  constructor(seed) {
    this.state = seed;
  }

  below(n) {
    this.state = (Math.imul(this.state, 1103515245) + 12345) & 0x7fffffff;
    return (this.state >> 8) % n;
  }
}

class Order {
  constructor(number, city, pieces, cents, text) {
    this.number = number;
    this.city = city;
    this.pieces = pieces;
    this.cents = cents;
    this.text = text;
  }

  get total() {
    let total = this.pieces * this.cents;
    if (this.pieces > 10) {
      total -= Math.floor((total * 3) / 100);
    }
    if ("AEIOU".includes(this.city[0])) {
      total += 490;
    }
    return total;
  }

  /** Splitting and conversion. */
  static parse(line) {
    const [number, city, pieces, cents, text] = line.split(";");
    return new Order(parseInt(number, 10), city.trim(), parseInt(pieces, 10), parseInt(cents, 10), text);
  }

  toJSON() {
    return { number: this.number, city: this.city, cents: this.cents };
  }
}

/** A binary heap of pairs of a length and a place. */
class Heap {
  constructor() {
    this.items = [];
  }

  get size() {
    return this.items.length;
  }

  push(item) {
    const items = this.items;
    let at = items.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (items[above][0] <= item[0]) {
        break;
      }
      items[at] = items[above];
      at = above;
    }
    items[at] = item;
  }

  pop() {
    const items = this.items;
    const first = items[0];
    const item = items.pop();
    const length = items.length;
    if (length > 0) {
      let at = 0;
      for (;;) {
        let below = 2 * at + 1;
        if (below >= length) {
          break;
        }
        if (below + 1 < length && items[below + 1][0] < items[below][0]) {
          below += 1;
        }
        if (items[below][0] >= item[0]) {
          break;
        }
        items[at] = items[below];
        at = below;
      }
      items[at] = item;
    }
    return first;
  }
}

/** A category with its subcategories. */
class Category {
  constructor(value) {
    this.value = value;
    this.children = [];
  }
}

/** String building. */
function makeLines(count) {
  const random = new Random(42);
  const lines = [];
  for (let number = 0; number < count; number++) {
    const words = [WORDS[random.below(12)], WORDS[random.below(12)], WORDS[random.below(12)], WORDS[(number * 7) % 12]];
    const code = String(random.below(1000)).padStart(3, "0") + "-" + WORDS[number % 12].slice(0, 2).toUpperCase();
    lines.push(
      `${number};${CITIES[random.below(8)]};${1 + (number % 20)};${100 + random.below(9900)};${words.join(" ")} #${code}`,
    );
  }
  return lines;
}

/** A generator, the first of a pipeline. */
function* readOrders(lines) {
  for (const line of lines) {
    if (line && !line.startsWith("#")) {
      yield Order.parse(line);
    }
  }
}

/** A generator, the second of the pipeline. */
function* worthIt(orders, least) {
  for (const order of orders) {
    if (order.total >= least) {
      yield order;
    }
  }
}

/** A map of small objects. */
function sumByCity(orders) {
  const sums = new Map();
  for (let i = 0; i < orders.length; i++) {
    const order = orders[i];
    const sum = sums.get(order.city);
    if (sum === undefined) {
      sums.set(order.city, { count: 1, pieces: order.pieces, cents: order.cents });
    } else {
      sum.count += 1;
      sum.pieces += order.pieces;
      sum.cents += order.cents;
    }
  }
  return sums;
}

/** What sort() calls for two orders. */
function compareOrders(a, b) {
  return b.pieces - a.pieces || (a.cents % 100) - (b.cents % 100) || a.number - b.number;
}

/** Sorting with a comparator. */
function sortOrders(orders) {
  return orders.slice().sort(compareOrders);
}

/** A map of strings. */
function countWords(orders) {
  const counts = new Map();
  for (const order of orders) {
    const words = order.text.split(" ");
    for (let i = 0; i < words.length; i++) {
      const key = words[i].toLowerCase();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

/** A set. */
function countPairs(numbers) {
  const seen = new Set();
  let pairs = 0;
  for (const number of numbers) {
    if (seen.has(9_999 - number)) {
      pairs += 1;
    }
    seen.add(number);
  }
  return pairs;
}

/** A regular expression that calls back for each match. */
function maskCodes(text) {
  return text.replace(/#(\d+)-([A-Z]{2})\b/g, function mask(_, digits, letters) {
    return "#" + letters;
  });
}

/** The characters of a text, as numbers. */
function codesOf(text) {
  return Array.from(text, (character) => character.charCodeAt(0));
}

/** Dynamic programming: two loops over arrays. */
function editDistance(a, b) {
  let before = new Array(b.length + 1).fill(0);
  let row = before.slice();
  for (let j = 0; j <= b.length; j++) {
    before[j] = j;
  }
  for (let i = 1; i <= a.length; i++) {
    const x = a[i - 1];
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      let cost = x === b[j - 1] ? before[j - 1] : before[j - 1] + 1;
      if (before[j] + 1 < cost) {
        cost = before[j] + 1;
      }
      if (row[j - 1] + 1 < cost) {
        cost = row[j - 1] + 1;
      }
      row[j] = cost;
    }
    const free = before;
    before = row;
    row = free;
  }
  return before[b.length];
}

function makeRoads(count) {
  const random = new Random(7);
  const roads = Array.from({ length: count }, () => []);
  for (let here = 0; here < count; here++) {
    for (let i = 0; i < 22; i++) {
      const there = random.below(count);
      const length = 1 + random.below(90);
      roads[here].push({ there, length });
      roads[there].push({ there: here, length });
    }
  }
  return roads;
}

/** Dijkstra's algorithm, with a heap. */
function shortestWays(roads, start) {
  const far = new Map([[start, 0]]);
  const heap = new Heap();
  heap.push([0, start]);
  while (heap.size > 0) {
    const [length, here] = heap.pop();
    if (length > far.get(here)) {
      continue;
    }
    const from = roads[here];
    for (let i = 0; i < from.length; i++) {
      const there = from[i].there;
      const way = length + from[i].length;
      const known = far.get(there);
      if (known === undefined || way < known) {
        far.set(there, way);
        heap.push([way, there]);
      }
    }
  }
  let sum = 0;
  far.forEach((length) => {
    sum += length;
  });
  return sum;
}

/** Dynamic programming: the most that fits. */
function loadTruck(sizes, values, room) {
  const best = new Array(room + 1).fill(0);
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i];
    const value = values[i];
    for (let left = room; left >= size; left--) {
      const other = best[left - size] + value;
      if (other > best[left]) {
        best[left] = other;
      }
    }
  }
  return best[room];
}

/** Adler-32: arithmetic with integers, byte by byte. */
function checksum(bytes) {
  let low = 1;
  let high = 0;
  for (let i = 0; i < bytes.length; i++) {
    low = (low + bytes[i]) % 65521;
    high = (high + low) % 65521;
  }
  return ((high << 16) | low) >>> 0;
}

/** Arithmetic with floating point numbers, in an array of them. */
function smooth(values, rounds) {
  for (let round = 0; round < rounds; round++) {
    let last = values[0];
    for (let i = 1; i < values.length - 1; i++) {
      const here = values[i];
      values[i] = 0.25 * last + 0.5 * here + 0.25 * values[i + 1];
      last = here;
    }
  }
  return values.reduce((sum, value) => sum + value, 0);
}

/** Recursion that makes objects. */
function grow(depth) {
  const category = new Category((depth * 7) % 13);
  for (let i = 0; depth > 0 && i < 3; i++) {
    category.children.push(grow(depth - 1));
  }
  return category;
}

/** Recursion. */
function weigh(category) {
  let weight = category.value;
  const children = category.children;
  for (let i = 0; i < children.length; i++) {
    weight += weigh(children[i]) >> 1;
  }
  return weight;
}

/** A closure that keeps a sum. */
function makeAdder(percent) {
  let sum = 0;
  return function add(cents) {
    sum += (cents * percent) % 100;
    return sum;
  };
}

/** Calls of array methods, with small functions. */
function discounts(orders) {
  return orders
    .filter((order) => order.pieces > 5)
    .map((order) => order.cents * order.pieces)
    .reduce((most, cents) => (cents > most ? cents : most), 0);
}

/** A table of text. */
function render(orders) {
  const rows = [];
  for (const order of orders) {
    const number = String(order.number).padStart(8);
    const euros = (order.cents / 100).toFixed(2).padStart(10);
    rows.push(`${number} | ${order.city.padEnd(10)} | ${String(order.pieces).padStart(4)} | ${euros} | ${order.text}`);
  }
  return rows.join("\n");
}

/** JSON, there and back. */
function exportOrders(orders) {
  return JSON.parse(JSON.stringify(orders)).length;
}

/** An asynchronous function that waits, and works after it. */
async function bill(orders, from) {
  await null;
  let sum = 0;
  for (let i = from; i < from + 100 && i < orders.length; i++) {
    sum = (sum * 31 + orders[i].cents) % 1_000_003;
  }
  return sum;
}

/** An asynchronous function that waits for others. */
async function billAll(orders) {
  let all = 0;
  for (let from = 0; from < orders.length; from += 100) {
    all ^= await bill(orders, from);
  }
  return all;
}

function times(count, work) {
  let result;
  for (let i = 0; i < count; i++) {
    result = work(i);
  }
  return result;
}

export const run = {
  async run() {
    const lines = makeLines(5_000);
    const text = lines.join("\n");
    let orders = [];
    for (let i = 0; i < 3; i++) {
      orders = [...worthIt(readOrders(lines), 2_000)];
    }
    console.log("orders", orders.length);
    console.log("cities", times(178, () => sumByCity(orders)).get("Bergen").cents);
    console.log("first", times(2, () => sortOrders(orders))[0].number);
    console.log("words", times(26, () => countWords(orders)).get("oak"));
    const cents = orders.map((order) => order.cents);
    console.log("pairs", times(4, () => countPairs(cents)));
    console.log("masked", times(13, () => maskCodes(text)).length);
    const codes = lines.slice(0, 300).map(codesOf);
    console.log("distance", times(10_800, (i) => editDistance(codes[i % 100], codes[100 + (i % 200)])));
    const roads = makeRoads(1_000);
    console.log("ways", times(41, (start) => shortestWays(roads, start)));
    console.log("ways from the end", times(41, (start) => shortestWays(roads, 999 - start)));
    const sizes = orders.slice(0, 3_800).map((order) => 1 + order.pieces);
    console.log("truck", times(1, () => loadTruck(sizes, cents, 7_300)));
    const values = cents.slice(0, 4_000).map((value) => value + 0.5);
    console.log("smooth", times(1, () => smooth(values, 2_600)).toFixed(3));
    console.log("smoother", times(1, () => smooth(values, 2_500)).toFixed(3));
    const tree = grow(7);
    console.log("weight", times(290, () => weigh(tree)));
    const add = makeAdder(19);
    console.log("tax", times(20_000, add));
    console.log("discounts", times(2, () => discounts(orders)));
    const table = times(2, () => render(orders));
    console.log("table", table.length);
    console.log("json", times(2, () => exportOrders(orders)));
    const bytes = new TextEncoder().encode(table);
    console.log("checksum", times(37, () => checksum(bytes)));
    let bills = 0;
    for (let i = 0; i < 5; i++) {
      bills += await billAll(orders);
    }
    console.log("bills", bills);
  },
};
