// A program whose functions are known, to prove that an engine is read as it is. What a function is to be called is said where it begins,
// so that its line is known as well.

function work(n) { // named: work
  let sum = 0;
  for (let i = 0; i < n; i++) {
    sum = (sum * 31 + i) % 1000003;
  }
  return sum;
}

function single() { // named: single
  let sum = 0;
  for (let i = 0; i < 30000; i++) {
    sum = (sum * 31 + i) % 1000003;
  }
  return sum;
}

function triple() { // named: triple
  let sum = 0;
  for (let i = 0; i < 90000; i++) {
    sum = (sum * 31 + i) % 1000003;
  }
  return sum;
}

function down(n) { // named: down
  return n === 0 ? work(3000) : down(n - 1) + 1;
}

function adder(n) { // named: adder
  let sum = work(2000);
  return (m) => { // named: adder/<
    for (let i = 0; i < 2000; i++) {
      sum += n * m;
    }
    return sum;
  };
}

class Shape {
  constructor(side) { // named: Shape
    this.side = side + work(2000);
  }

  get area() { // named: get area
    return this.side * work(2000);
  }

  scaled(by) { // named: scaled
    return [1, 2, 3].map((value) => { // named: scaled/<
      let sum = 0;
      for (let i = 0; i < 1000; i++) {
        sum += value * by;
      }
      return sum;
    });
  }

  static of(side) { // named: of
    return new Shape(side);
  }
}

function* numbers(n) { // named: numbers
  for (let i = 0; i < n; i++) {
    yield i * 2;
  }
}

async function inner(n) { // named: inner
  work(2000);
  await null;
  return work(n);
}

async function outer(n) { // named: outer
  const sum = await inner(n);
  return sum + work(1000);
}

export async function run(milliseconds) { // named: run
  const end = Date.now() + milliseconds;
  let total = 0;
  while (Date.now() < end) {
    total += single() + triple();
    total += down(20);
    total += adder(3)(4);
    const shape = Shape.of(3);
    total += shape.area + shape.scaled(2)[0];
    for (const value of numbers(300)) {
      total += value;
    }
    total += [5, 3, 9, 1].sort(function compare(a, b) { // named: compare
      return a - b + work(500) % 1;
    })[0];
    total += JSON.stringify({
      toJSON() { // named: toJSON
        return work(2000);
      },
    }).length;
    total += await outer(2000);
  }
  return total % 1000;
}
