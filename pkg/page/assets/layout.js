// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// The layout: boxes in boxes, as the domains are, in lines from left to right.
// A box of nodes has a line for each node. Nothing here touches the document.

const sizes = [5, 7, 9, 11, 13, 16, 19, 22, 26, 30];

// namesFrom is the least size with which the names of nodes are written.
const namesFrom = 13;
const margin = 16;

let plan = { boxes: [], frames: [], width: 0, height: 0, seats: [] };

// arrange lays everything out for cells of a size in a given width.
function arrange(size, width, measure) {
  const out = { size, gap: size < 9 ? 1 : 2, boxes: [], frames: [], seats: new Array(model.nodes.length), label: 0 };
  if (size >= namesFrom) out.label = Math.min(160, 10 + model.nodes.reduce((most, n) => Math.max(most, measure(n.name)), 0));
  const root = blockOf(model.domains[0], width - 2 * margin, out, 0);
  flatten(root, margin, margin, out);
  out.width = Math.max(width, root.w + 2 * margin);
  out.height = root.h + 2 * margin;
  return out;
}

// blockOf is the block of a domain: itself, its nodes, and the blocks inside.
function blockOf(domain, width, out, depth) {
  const framed = depth > 0;
  const pad = framed ? 8 : 0;
  const blocks = [];
  if (domain.nodes.length) blocks.push(nodesBlock(domain, width - 2 * pad, out));
  if (!domain.children.length && blocks.length) return blocks[0];
  for (const child of domain.children) blocks.push(blockOf(child, width - 2 * pad, out, depth + 1));
  const inner = flow(blocks, width - 2 * pad, framed ? 8 : 12);
  const title = framed ? 22 : 0;
  const w = Math.max(inner.w + 2 * pad, framed ? 90 : 0);
  return { domain, w, h: inner.h + title + pad, pad, title, blocks, framed };
}

// nodesBlock is a box with the nodes that stand in a domain itself.
function nodesBlock(domain, width, out) {
  const { size, gap, label } = out;
  const nodes = domain.nodes;
  const units = Math.max(1, Math.min(24, nodes.reduce((most, n) => Math.max(most, Math.ceil(n.units)), 0)));
  const row = label + units * (size + gap);
  const line = size + gap;
  const most = Math.max(1, Math.floor((width - 12 + 8) / (row + 8)));
  const square = Math.max(1, Math.round(Math.sqrt((nodes.length * line) / (row + 8))));
  const columns = Math.min(most, nodes.length <= 16 && square <= 2 ? 1 : square);
  const lines = Math.ceil(nodes.length / columns);
  return {
    domain, nodes, units, label, row, line, columns, lines, pad: 6, title: 18,
    w: Math.max(columns * (row + 8) - 8 - gap + 12, 58), h: lines * line - gap + 18 + 7,
  };
}

// flow puts blocks in lines no wider than width, where that is possible.
function flow(blocks, width, gap) {
  let x = 0, y = 0, tall = 0, wide = 0;
  for (const b of blocks) {
    if (x > 0 && x + b.w > width) {
      x = 0;
      y += tall + gap;
      tall = 0;
    }
    b.x = x;
    b.y = y;
    x += b.w + gap;
    tall = Math.max(tall, b.h);
    wide = Math.max(wide, x - gap);
  }
  return { w: wide, h: y + tall };
}

// flatten turns places inside blocks into places on the page.
function flatten(block, x, y, out) {
  block.left = x;
  block.top = y;
  if (block.nodes) {
    block.number = out.boxes.length;
    out.boxes.push(block);
    block.nodes.forEach((node, i) => { out.seats[node.number] = { box: block, column: Math.floor(i / block.lines), line: i % block.lines }; });
    return;
  }
  if (block.framed) out.frames.push(block);
  for (const inner of block.blocks) flatten(inner, x + block.pad + inner.x, y + block.title + inner.y, out);
}

// place is where the line of a node is, without its name.
function place(node) {
  const { box, column, line } = plan.seats[node.number];
  return {
    x: box.left + 6 + column * (box.row + 8) + box.label, y: box.top + box.title + line * box.line,
    w: box.row - box.label - plan.gap, h: plan.size,
  };
}

// pitch is the distance of cells that are whole GPUs: less than usual where a
// node has more of them than a line takes.
function pitch(node) {
  const full = plan.size + plan.gap;
  return full * Math.min(1, plan.seats[node.number].box.units / Math.max(1, node.units));
}

// eachCell calls visit(cell, x, y, width, height) for the cells of a node.
function eachCell(node, visit) {
  const { x, y } = place(node);
  const step = pitch(node);
  let at = x;
  for (const cell of node.cells) {
    const wide = step * cell.width;
    visit(cell, at, y, Math.max(1, wide - (wide > 3 ? plan.gap : 0.5)), plan.size);
    at += wide;
  }
}

// hit finds the node, and in it the cell, at a point of the page.
function hit(x, y) {
  const box = plan.boxes.find((b) => x >= b.left && x < b.left + b.w && y >= b.top && y < b.top + b.h);
  if (!box) return null;
  const column = Math.floor((x - box.left - 6) / (box.row + 8));
  const line = Math.floor((y - box.top - box.title) / box.line);
  if (column < 0 || column >= box.columns || line < 0 || line >= box.lines) return { box };
  const node = box.nodes[column * box.lines + line];
  if (!node) return { box };
  let at = null;
  eachCell(node, (cell, left, top, w) => { if (x >= left && x < left + w + plan.gap) at = cell; });
  return { box, node, cell: at };
}

// beside is the nearest node in a direction: dx and dy are -1, 0 or 1.
function beside(node, dx, dy) {
  const from = middle(node);
  let best = null, least = Infinity;
  for (const other of model.nodes) {
    if (other === node) continue;
    const to = middle(other);
    const along = (to.x - from.x) * dx + (to.y - from.y) * dy;
    const across = Math.abs((to.x - from.x) * dy) + Math.abs((to.y - from.y) * dx);
    const far = along + 4 * across;
    if (along > 0 && across <= Math.max(along, 4) && far < least) [best, least] = [other, far];
  }
  return best;
}

function middle(node) {
  const p = place(node);
  return { x: p.x + p.w / 2, y: p.y + p.h / 2 };
}
