// What tests/javascript.rs profiles. Each function works for some time in its own way, so that samples are taken in all of them. Comments
// at the end of a line are marks that tests look for.

const WORK = 20000;

/** Works without calling any function. */
function single() {
  const rounds = WORK;
  let sum = 0;
  for (let i = 0; i < rounds; i++) {
    sum = (sum * 31 + i) % 1000003;
  }
  return sum;
}

/** Does exactly three times the work of single(). */
function triple() {
  const rounds = 3 * WORK;
  let sum = 0;
  for (let i = 0; i < rounds; i++) { // HEAD OF THE LOOP
    sum = (sum * 31 + i) % 1000003; // HOT LINE
  }
  return sum;
}

function bottom() {
  let sum = 0;
  for (let i = 0; i < 3000; i++) sum += i;
  return sum;
}

function recurse(depth) {
  return depth === 1 ? bottom() : recurse(depth - 1) + 1;
}

function makeAdder(n) {
  return function adder(x) {
    let sum = x;
    for (let i = 0; i < 1500; i++) sum += n;
    return sum;
  };
}

class Shape {
  #side;

  constructor(side) {
    this.#side = side;
    for (let i = 0; i < 500; i++) this.#side += i % 2;
  }

  get area() {
    let area = 0;
    for (let i = 0; i < 1500; i++) area += this.#side;
    return area;
  }

  scaled(by) {
    return [1, 2, 3].map((value) => { // CALLBACK
      let sum = 0;
      for (let i = 0; i < 600; i++) sum += value * by;
      return sum;
    });
  }

  static of(side) {
    let sum = side;
    for (let i = 0; i < 500; i++) sum += i;
    return new Shape(sum);
  }
}

function* numbers(count) {
  for (let number = 0; number < count; number++) {
    yield number * 2; // NEXT NUMBER
  }
}

function compare(a, b) {
  for (let i = 0; i < 300; i++);
  return a - b;
}

const converted = {
  toJSON() {
    let sum = 0;
    for (let i = 0; i < 1500; i++) sum += i;
    return sum;
  },
};

function größe(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += i;
  return sum;
}

async function waits(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += i;
  await null;
  sum += works(n);
  return sum;
}

function works(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += i; // AFTER A WAIT
  return sum;
}

async function outer() {
  return await waits(2500) + 1;
}

function made() {
  return new Function('n', 'let sum = 0; for (let i = 0; i < n; i++) sum += i; return sum;')(1500);
}

const kept = [];

/** Keeps more than the engine has room for. */
function keeps(count) {
  const entries = [];
  for (let i = 0; i < count; i++) entries.push({ i, text: `entry ${i}` });
  kept.push(entries);
}

function main() {
  let total = 0;
  total += single() + triple();
  total += recurse(200);
  total += makeAdder(3)(4);
  const shape = Shape.of(3);
  total += shape.area + shape.scaled(2)[0];
  for (const number of numbers(1500)) total += number;
  total += [5, 3, 9, 1, 7].sort(compare)[0];
  total += JSON.stringify(converted).length;
  total += größe(1500) + made();
  return total;
}

export const run = {
  async run() {
    const end = Date.now() + 2500;
    for (let round = 0; round < 4; round++) keeps(20000);
    let total = 0;
    while (Date.now() < end) {
      total += main();
      total += await outer();
    }
    console.log(total > 0 ? 'done' : 'nothing done');
  },
};
