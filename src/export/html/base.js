// What all parts of the page use: names, elements, numbers.

const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);

// Names

// What the terminal summary escapes as well: characters that are invisible, or reorder what stands around them.
const UNSAFE = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const escape = char => `\\u{${char.codePointAt(0).toString(16)}}`;
const printable = name => (name === '' ? '(no name)' : name.replace(UNSAFE, escape));

const strings = data.strings.map(printable);
const folded = strings.map(string => string.toLowerCase());

// Elements

/** Makes an element. Guests choose names, so what is not an element becomes text, and never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function button(attributes, action, ...children) {
  const element = el('button', { type: 'button', ...attributes }, ...children);
  element.addEventListener('click', action);
  return element;
}

const swatch = kind => el('i', { class: `swatch ${kind}` });

function showLegend(list, kinds) {
  list.replaceChildren(...kinds.map(([kind, label]) => el('li', {}, swatch(kind), label)));
}

// Numbers

/** About three digits, whatever the size. */
function digits(value) {
  if (value === 0) return '0';
  if (value < 0.0005) return '<0.001';
  return value.toFixed(value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
}

const time = ms => (ms < 10_000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`);
const number = value => value.toLocaleString('en');
const sum = values => values.reduce((all, value) => all + value, 0);

function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${unit === 0 ? bytes : digits(bytes / 1024 ** unit)} ${units[unit]}`;
}

function percent(part, whole) {
  const share = whole > 0 ? (100 * part) / whole : 0;
  return share > 0 && share < 0.05 ? '<0.1%' : `${share.toFixed(1)}%`;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
