// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Painting: what is in view, cells of a kind at a time.

const map = document.getElementById('map');
const canvas = document.getElementById('canvas');
const space = document.getElementById('space');
const cursor = document.getElementById('cursor');

// work counts what painting costs, for those who want to know.
const work = { frames: 0, cells: 0, fills: 0, boxes: 0 };

let ordered = false;

// repaint asks for a frame; more wishes before it comes are one.
function repaint() {
  if (ordered) return;
  ordered = true;
  requestAnimationFrame(() => {
    ordered = false;
    paint();
  });
}

// fit makes the canvas as large as what is seen of the map.
function fit() {
  const w = map.clientWidth, h = map.clientHeight, r = ratio();
  if (canvas.width !== Math.round(w * r) || canvas.height !== Math.round(h * r)) {
    canvas.width = Math.round(w * r);
    canvas.height = Math.round(h * r);
    canvas.style.width = w + 'px';
    canvas.style.height = h + 'px';
  }
}

function paint() {
  if (!model) return;
  fit();
  const c = canvas.getContext('2d');
  const r = ratio();
  const left = map.scrollLeft, top = map.scrollTop, right = left + map.clientWidth, bottom = top + map.clientHeight;
  c.setTransform(r, 0, 0, r, 0, 0);
  c.fillStyle = colours.bg;
  c.fillRect(0, 0, map.clientWidth, map.clientHeight);
  c.setTransform(r, 0, 0, r, -left * r, -top * r);
  const seen = (b) => b.left < right && b.left + b.w > left && b.top < bottom && b.top + b.h > top;
  Object.assign(work, { frames: work.frames + 1, cells: 0, fills: 0, boxes: 0 });
  for (const frame of plan.frames) if (seen(frame)) paintFrame(c, frame);
  const batch = { cells: new Map(), rings: [], letters: [], bars: [], blanks: [] };
  for (const box of plan.boxes) if (seen(box)) paintBox(c, box, batch, top, bottom);
  paintCells(c, batch);
}

function panel(c, b, colour, radius) {
  c.fillStyle = colour;
  c.beginPath();
  c.roundRect(b.left, b.top, b.w, b.h, radius);
  c.fill();
}

function paintFrame(c, frame) {
  panel(c, frame, colours.frame, 8);
  c.strokeStyle = colours.line; // tells a frame from the one around it
  c.lineWidth = 1;
  c.stroke();
  heading(c, frame, frame.domain.name, 12, 9, 15);
}

// heading writes a domain's name and, as far as there is room, what is free.
function heading(c, b, name, size, indent, baseline) {
  c.textBaseline = 'alphabetic';
  c.font = (size > 11 ? '600 ' : '') + size + 'px system-ui, "DejaVu Sans", sans-serif';
  const room = b.w - 2 * indent;
  const text = [roomWords(b.domain.room), roomWords(b.domain.room, true), String(b.domain.room.free), ''];
  const taken = c.measureText(name).width;
  const tail = text.find((t) => !t || taken + 10 + c.measureText(t).width <= room);
  c.textAlign = 'left';
  c.fillStyle = size > 11 ? colours.ink : colours.soft;
  c.fillText(shorten(c, name, room), b.left + indent, b.top + baseline);
  c.textAlign = 'right';
  c.fillStyle = colours.soft;
  c.font = '11px system-ui, "DejaVu Sans", sans-serif';
  c.fillText(tail, b.left + b.w - indent, b.top + baseline);
}

// shorten cuts a text to a width, at its start: the end of a name says more.
function shorten(c, text, room) {
  if (c.measureText(text).width <= room) return text;
  let cut = text.slice(-60);
  while (cut.length > 1 && c.measureText('…' + cut).width > room) cut = cut.slice(1);
  return '…' + cut;
}

function paintBox(c, box, batch, top, bottom) {
  work.boxes++;
  panel(c, box, colours.box, 5);
  const nowhere = box.domain.children.length > 0;
  heading(c, box, nowhere ? 'others' : box.domain.name, 11, 6, 13);
  for (const node of box.nodes) {
    const p = place(node);
    if (p.y > bottom || p.y + p.h < top) continue;
    if (box.label) writeName(c, node, p, box.label);
    if (node.state) batch.bars.push([p.x - 4, p.y, 2, p.h]);
    eachCell(node, (cell, x, y, w, h) => sortCell(node, cell, [x, y, w, h], batch));
    if (!node.cells.length) batch.blanks.push([p.x, p.y + p.h / 2 - 0.5, Math.min(p.w, 24), 1]);
  }
}

function writeName(c, node, p, label) {
  c.font = '11px system-ui, "DejaVu Sans", sans-serif';
  c.textAlign = 'left';
  c.textBaseline = 'middle';
  c.fillStyle = node.state ? colours.warn : colours.ink;
  c.fillText(shorten(c, node.name, label - 8), p.x - label, p.y + p.h / 2 + 0.5);
}

// kindOf is how a cell is filled.
function kindOf(node, cell) {
  if (!cell.pod) return node.state ? 'out' : 'free';
  if (!lit(cell.pod, node)) return 'dim';
  return cell.pod.gang ? cell.pod.gang.mark % styles : 'other';
}

function sortCell(node, cell, rect, batch) {
  const kind = kindOf(node, cell);
  if (!batch.cells.has(kind)) batch.cells.set(kind, []);
  batch.cells.get(kind).push(rect);
  const gang = cell.pod && cell.pod.gang;
  const over = view.over && view.over.cell && view.over.cell.pod && view.over.cell.pod.gang;
  if (gang && kind !== 'dim' && (gang.key === view.gang || gang === over)) ring(batch.rings, gang, rect);
  if (gang && cell.first && kind !== 'dim' && rect[2] >= 12 && rect[3] >= 12) batch.letters.push([gang.mark, rect]);
}

// ring puts a cell into a ring, together with the cell to its left where that
// is of the same gang.
function ring(rings, gang, [x, y, w, h]) {
  const last = rings.at(-1);
  if (last && last.gang === gang && last[1] === y - 1 && x - (last[0] + last[2]) <= plan.gap) last[2] = x + w + 1 - last[0];
  else rings.push(Object.assign([x - 1, y - 1, w + 2, h + 2], { gang }));
}

function paintCells(c, batch) {
  for (const [kind, rects] of batch.cells) {
    work.cells += rects.length;
    work.fills++;
    c.fillStyle = fillOf(c, kind);
    c.beginPath();
    for (const [x, y, w, h] of rects) c.rect(x, y, w, h);
    c.fill();
    if (kind === 'free' || kind === 'out') outline(c, rects, colours['free-line'], plan.size < 9 ? 0.6 : 1);
  }
  c.fillStyle = colours.warn;
  for (const [x, y, w, h] of batch.bars) c.fillRect(x, y, w, h);
  c.fillStyle = colours['free-line'];
  for (const [x, y, w, h] of batch.blanks) c.fillRect(x, y, w, h);
  for (const [mark, [x, y, w, h]] of batch.letters) writeLetter(c, letter(mark), mark, x + w / 2, y + h / 2, Math.min(w, h));
  if (batch.rings.length) outline(c, batch.rings, colours.ink, plan.size < 9 ? 1.2 : 1.6);
}
