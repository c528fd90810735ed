// What benches/scripts.rs samples: a loop under so many functions.

function loop(n) {
  let total = 0;
  for (let i = 0; i < n; i++) {
    total = (total * 31 + i) & 0xffff;
  }
  return total;
}

function deep(depth, n) {
  if (depth > 1) {
    return deep(depth - 1, n);
  }
  return loop(n);
}

export function work(depth, n) {
  return deep(depth, n);
}
