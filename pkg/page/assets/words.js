// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Words: what hovering says, what a screen reader hears, and a rack as a table.

// nodeWords says all about a node in one sentence.
function nodeWords(node) {
  const parts = [node.name];
  if (node.domain.parent >= 0) parts.push('in ' + node.domain.path);
  if (node.model) parts.push(node.model);
  if (node.state) parts.push(node.state);
  parts.push(roomWords(node.room));
  return parts.concat(holders(node).map((h) => h.name + ' holds ' + h.count + (h.ranks ? ', ' + h.ranks : ''))).join('; ');
}

// holders sums up who holds the cells of a node.
function holders(node) {
  const all = new Map();
  for (const cell of node.cells) {
    if (!cell.pod) continue;
    const key = cell.pod.gang ? cell.pod.gang.key : podName(cell.pod);
    if (!all.has(key)) all.set(key, { name: key, gang: cell.pod.gang, count: 0, pods: new Set() });
    const h = all.get(key);
    h.count++;
    h.pods.add(cell.pod);
  }
  return [...all.values()].map((h) => ({ ...h, ranks: h.gang ? rankWords([...h.pods].map((p) => p.k).filter((k) => k >= 0)) : '' }));
}

function rankWords(ranks) {
  if (!ranks.length) return '';
  const [low, high] = [Math.min(...ranks), Math.max(...ranks)];
  if (ranks.length === 1) return 'rank ' + low;
  return high - low + 1 === ranks.length ? 'ranks ' + low + ' to ' + high : 'ranks ' + ranks.slice(0, 8).join(', ') + (ranks.length > 8 ? ' …' : '');
}

const podName = (pod) => (pod.n ? pod.s + '/' + pod.n : 'a pod of another namespace');

// cellWords are the lines about a cell: a title, then what else there is.
function cellWords(node, cell) {
  const where = [node.name, node.model, node.domain.parent >= 0 ? node.domain.path : ''].filter(Boolean).join(' · ');
  const lines = [];
  if (cell && cell.pod && cell.pod.gang) {
    const { pod } = cell, { gang } = pod;
    lines.push(gang.key + ' · ' + letter(gang.mark));
    lines.push('pod ' + pod.n + (pod.k >= 0 ? ', rank ' + pod.k : '') + ', ' + pod.h.map((h) => h.c + ' ' + short(model.data.resources[h.r], h.c)).join(', '));
    if (gang.phase === 'running') {
      lines.push('waited ' + (waited(gang) || '?') + ', runs for ' + (span(now() - gang.started) || '?'));
    } else {
      lines.push('waits for ' + (waited(gang) || '?') + ': ' + gang.bound + ' of ' + (gang.minCount || '?') + ' pods have a node');
    }
  } else if (cell && cell.pod) {
    lines.push(podName(cell.pod), 'in no gang that is shown, ' + cell.pod.h.map((h) => h.c + ' ' + short(model.data.resources[h.r], h.c)).join(', '));
  } else if (cell) {
    lines.push(node.state ? 'free, but ' + node.state : 'free', short(cell.resource, 1));
  } else {
    lines.push(node.name + (node.state ? ', ' + node.state : ''));
  }
  lines.push(where, roomWords(node.room) + (node.state && cell && cell.pod ? ', ' + node.state : ''));
  if (node.missing > 0) lines.push(node.missing + ' more are not drawn');
  return lines.filter(Boolean);
}

// boxWords are the lines about a domain.
function boxWords(box) {
  const d = box.domain;
  return [d.path, d.level + ' · ' + box.nodes.length + (box.nodes.length === 1 ? ' node' : ' nodes'), roomWords(d.room)];
}

// showTip shows lines beside a point of the window.
function showTip(lines, x, y) {
  const tip = get('tip');
  tip.replaceChildren(element('b', '', lines[0]), ...lines.slice(1).map((line) => element('span', '', line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, x + 14 + width > innerWidth ? x - width - 14 : x + 14) + 'px';
  tip.style.top = Math.max(4, y + 14 + height > innerHeight ? y - height - 14 : y + 14) + 'px';
}

function hideTip() {
  get('tip').hidden = true;
}

// rowsMost bounds the table of a rack; a cluster without racks is one box.
const rowsMost = 200;

// showRack lists the box of the node that has the focus, if it is open.
function showRack() {
  const section = get('rack');
  const node = model.byName.get(view.focus);
  if (section.hidden || !node) return;
  const box = plan.seats[node.number].box;
  const from = Math.max(0, Math.min(box.nodes.indexOf(node) - rowsMost / 2, box.nodes.length - rowsMost));
  const nodes = box.nodes.slice(from, from + rowsMost);
  say(get('rack-title'), box.domain.path + (nodes.length < box.nodes.length ? ': ' + nodes.length + ' of ' + box.nodes.length + ' nodes' : ''));
  get('rows').replaceChildren(...nodes.map((n) => {
    const row = element('tr', n === node ? 'here' : '');
    const head = element('th', '', n.name);
    head.scope = 'row';
    if (n.state) head.append(' ', element('span', 'state', n.state));
    const free = element('td', 'number', roomWords(n.room).replace(/ free$/, ''));
    row.append(head, free, element('td', '', holders(n).map((h) => h.name + ' ' + h.count + (h.ranks ? ' (' + h.ranks + ')' : '')).join(', ')));
    return row;
  }));
}

// announce tells a screen reader of news.
function announce(text) {
  say(get('news'), text);
}

// showMarks fills the legend.
function showMarks() {
  const marks = [[0, 'held by a gang'], [7, 'by another gang'], ['other', 'held by a pod outside gangs'], ['free', 'free'],
    ['out', 'free, but the node is cordoned or not ready'], ['dim', 'held by what the filter hides']];
  get('marks').replaceChildren(...marks.map(([kind, text]) => {
    const li = element('li');
    li.append(swatch(kind), text);
    return li;
  }));
}
