// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// The marks by which gangs are told apart: a colour, a pattern and a letter.

// The colours of Okabe and Ito, which people with any common colour blindness
// tell apart (https://jfly.uni-koeln.de/color/), without black.
const hues = ['#E69F00', '#56B4E9', '#009E73', '#F0E442', '#0072B2', '#D55E00', '#CC79A7'];
const patterns = ['plain', 'rising', 'dots', 'across', 'falling', 'grid'];
const styles = hues.length * patterns.length;

// marks keeps the number of each gang that holds cells, so that it looks the
// same after every update. Numbers of gangs that are gone are given again.
const marks = new Map();

function assignMarks() {
  const present = model.gangs.filter((g) => g.cells > 0);
  const keys = new Set(present.map((g) => g.key));
  for (const key of marks.keys()) if (!keys.has(key)) marks.delete(key);
  const taken = new Set(marks.values());
  let next = 0;
  for (const g of present) {
    if (!marks.has(g.key)) {
      while (taken.has(next)) next++;
      taken.add(next);
      marks.set(g.key, next);
    }
    g.mark = marks.get(g.key);
  }
}

// letter is A to Z, AA to AZ, BA ...
function letter(mark) {
  let text = '';
  for (let n = mark + 1; n > 0; n = Math.floor((n - 1) / 26)) text = String.fromCharCode(65 + ((n - 1) % 26)) + text;
  return text;
}

const hueOf = (mark) => hues[mark % hues.length];
const patternOf = (mark) => patterns[Math.floor(mark / hues.length) % patterns.length];

// colours are those of the style sheet, which knows about light and dark.
const colours = {};

function readColours() {
  const css = getComputedStyle(document.documentElement);
  for (const name of ['bg', 'frame', 'box', 'line', 'ink', 'soft', 'free', 'free-line', 'other', 'dim', 'hatch', 'accent', 'warn']) {
    colours[name] = css.getPropertyValue('--' + name).trim();
  }
  tiles.clear();
}

// tiles are the patterns, painted once for each way to fill.
const tiles = new Map();

function tile(ctx, name, background, ink) {
  const key = [name, background, ink, ratio(), plan.size < 9].join();
  if (!tiles.has(key)) tiles.set(key, name === 'plain' ? background : paintTile(ctx, name, background, ink));
  return tiles.get(key);
}

function paintTile(ctx, name, background, ink) {
  const r = ratio();
  const side = 6 * r;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side;
  const c = canvas.getContext('2d');
  c.fillStyle = background;
  c.fillRect(0, 0, side, side);
  c.strokeStyle = c.fillStyle = ink;
  c.lineWidth = (plan.size < 9 ? 1.1 : 1.4) * r;
  c.beginPath();
  const line = (x0, y0, x1, y1) => { c.moveTo(x0 * side, y0 * side); c.lineTo(x1 * side, y1 * side); };
  if (name === 'rising') { line(0, 1, 1, 0); line(-0.5, 0.5, 0.5, -0.5); line(0.5, 1.5, 1.5, 0.5); }
  if (name === 'falling') { line(0, 0, 1, 1); line(-0.5, 0.5, 0.5, 1.5); line(0.5, -0.5, 1.5, 0.5); }
  if (name === 'across' || name === 'grid') line(0, 0.5, 1, 0.5);
  if (name === 'grid') line(0.5, 0, 0.5, 1);
  c.stroke();
  if (name === 'dots') {
    c.beginPath();
    c.arc(side / 2, side / 2, 1.3 * r, 0, 7);
    c.fill();
  }
  const made = ctx.createPattern(canvas, 'repeat');
  made.setTransform(new DOMMatrix().scale(1 / r));
  return made;
}

const patternInk = () => (plan.size < 9 ? 'rgba(0, 0, 0, .45)' : 'rgba(0, 0, 0, .62)');

// fillOf is what a kind of cell is filled with: the number of a gang's mark, or
// a word.
function fillOf(ctx, kind) {
  switch (kind) {
    case 'free': return colours.free;
    case 'dim': return colours.dim;
    case 'out': return tile(ctx, 'falling', colours.free, colours.hatch);
    case 'other': return tile(ctx, 'dots', colours.other, patternInk());
  }
  return tile(ctx, patternOf(kind), hueOf(kind), patternInk());
}

const ratio = () => window.devicePixelRatio || 1;

// swatch is a cell for a list, bare without its letter.
function swatch(kind, bare) {
  const side = 18;
  const canvas = document.createElement('canvas');
  canvas.className = 'swatch';
  canvas.width = canvas.height = side * ratio();
  canvas.style.width = canvas.style.height = side + 'px';
  canvas.dataset.kind = kind;
  if (bare) canvas.dataset.bare = 'true';
  paintSwatch(canvas);
  return canvas;
}

function paintSwatch(canvas) {
  const kind = /^\d+$/.test(canvas.dataset.kind) ? Number(canvas.dataset.kind) : canvas.dataset.kind;
  const c = canvas.getContext('2d');
  c.setTransform(ratio(), 0, 0, ratio(), 0, 0);
  c.fillStyle = fillOf(c, kind);
  c.fillRect(0, 0, 18, 18);
  if (kind === 'free' || kind === 'out') outline(c, [[0, 0, 18, 18]], colours['free-line'], 1);
  if (typeof kind === 'number' && !canvas.dataset.bare) writeLetter(c, letter(kind), kind, 9, 9, 18);
}

function outline(c, rects, colour, width) {
  c.strokeStyle = colour;
  c.lineWidth = width;
  c.beginPath();
  for (const [x, y, w, h] of rects) c.rect(x + width / 2, y + width / 2, w - width, h - width);
  c.stroke();
}

// writeLetter writes on a plate of the gang's colour, so that the pattern does
// not cross it.
function writeLetter(c, text, mark, x, y, side) {
  const size = Math.min(12, Math.round(side * (text.length > 2 ? 0.42 : text.length > 1 ? 0.55 : 0.68)));
  c.font = '700 ' + size + 'px system-ui, "DejaVu Sans", sans-serif';
  c.textAlign = 'center';
  c.textBaseline = 'middle';
  if (patternOf(mark) !== 'plain') {
    const w = c.measureText(text).width + 3;
    c.fillStyle = hueOf(mark);
    c.fillRect(x - w / 2, y - size / 2 - 0.5, w, size + 1);
  }
  c.fillStyle = mark % hues.length === 4 ? '#fff' : '#000';
  c.fillText(text, x, y + 0.5);
}
