// The part of the time that is selected.

/** Steps from the first up to, but without, the second; null for all of the time. */
let selected = null;

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Map([...LETTERS].map((letter, value) => [letter, value]));

/** Times as the page has them, as columns; `Series` in `steps.rs` says how they are written. */
function readSeries(text) {
  const series = { cells: [], steps: [], times: [] };
  let key = 0;
  let at = 0;
  const read = () => {
    let value = 0;
    let digit = 32;
    for (let factor = 1; digit >= 32; factor *= 32) {
      digit = VALUES.get(text[at++]);
      value += (digit % 32) * factor;
    }
    return value;
  };
  while (at < text.length) {
    key += read();
    series.cells.push(Math.floor(key / data.steps));
    series.steps.push(key % data.steps);
    series.times.push(read());
  }
  return series;
}

/** The time of each cell in the selected steps. */
function selectedTimes({ cells, steps, times }, length) {
  const sums = new Float64Array(length);
  const [from, to] = selected;
  cells.forEach((cell, at) => {
    if (steps[at] >= from && steps[at] < to) sums[cell] += times[at];
  });
  return sums;
}
