// What tests/javascript.rs serves: a shop with two routes, each with functions of its own. What follows differs between engines.

const LINES = Array.from({ length: 400 }, (_, id) => `${id};customer ${id % 40};${(id * 37) % 500}.${id % 100}`);

function parse(line) {
  const [id, customer, price] = line.split(';');
  return { id: Number(id), customer, cents: Math.round(Number(price) * 100) };
}

function totals(orders) {
  const totals = {};
  for (const { customer, cents } of orders) {
    totals[customer] = (totals[customer] ?? 0) + cents;
  }
  return totals;
}

function checksum(text) {
  let sum = 0;
  for (let i = 0; i < text.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      sum = (sum * 31 + (text.charCodeAt(i) >> bit)) % 1000003; // HOT LINE
    }
  }
  return sum;
}

function report() {
  const text = JSON.stringify(totals(LINES.map(parse)));
  return { text, checksum: checksum(text) };
}

function order(id) {
  let found;
  for (let round = 0; round < 40; round++) {
    found = LINES.find((line) => line.startsWith(`${id};`));
  }
  return parse(found);
}

