"use strict";
/* What is in a box: its operations, each a node, and what they read; and what is in a fused operation. */

const CHIP = { width: 108, height: 42, room: 96, most: 180 }; // most: the room for a name in an opened rule
const GAP = { x: 26, y: 22 };
const FAN = 260; // how far apart columns are at most, for their edges to be told apart
const LEGIBLE = 150; // so many nodes are laid out to be read, more to be searched

/* The operations of a box, as elements; those of the whole recording without a box. */
function operations(tape, lanes, box) {
  const inner = new Set(box ? box.places.map(([node]) => node) : tape.nodes.map((node) => node.number));
  const outer = new Map();
  const elements = [];
  const waiting = box ? [...inner] : [];
  while (waiting.length) {
    for (const edge of tape.into[waiting.pop()]) {
      const place = [edge.source, edge.output];
      const other = lanes.box(place);
      const counts = isCounter(tape.output(place).label); // how t came to be is no part of the step
      if (counts || (other && other !== box)) outer.set(keyOf(place), place);
      else if (!inner.has(edge.source)) {
        inner.add(edge.source);
        waiting.push(edge.source);
      }
    }
  }
  for (const [key, place] of outer) {
    if (!inner.has(place[0])) elements.push(chip(`p${key}`, captionOfPlace(tape, lanes, place), "outer", { place }));
  }
  for (const number of [...inner].sort((a, b) => a - b)) {
    elements.push(chip(`n${number}`, captionOfNode(tape, lanes, number), classesOf(tape, number), { number }));
  }
  for (const number of inner) {
    for (const edge of tape.into[number]) {
      const source = inner.has(edge.source) ? `n${edge.source}` : `p${edge.source}:${edge.output}`;
      elements.push(wire(tape, source, `n${number}`, tape.flow(edge), elements.length, edge));
    }
  }
  return elements;
}

const isCounter = (label) => label?.role === "hyperparameter" && label.name === "t";

/* The equations of a fused operation, as `opened.py` writes them; none where they are too long. */
function equations(tape, number) {
  const { texts = [""], called, first } = tape.formulas[number] ?? {};
  if (!texts.every(Boolean)) return [];
  const mark = ({ cut }) => (cut === null ? "" : `${tape.without.has(cut) ? SIGNS.asked : SIGNS.cut} `);
  const reads = tape.into[number].map((edge) => mark(edge) + called[edge.operand]);
  const fill = (text) => text.replace(/\{(o?)(\d+)\}/g, (_, output, n) => (output ? called[first + Number(n)] : reads[Number(n)]));
  return texts.map((text, n) => `${called[first + n]} = ${fill(text)}`);
}

/* What stands on an arrow of a flow: the numbers of its cuts beside its ✂, or how many they are, where there is room. */
function signOf(flow, cuts, room) {
  const sign = SIGNS[flow] ?? "", texts = ["cut", "asked"].includes(flow) ? [numbered(cuts), `${cuts.length} cuts`] : [];
  const text = texts.find((one) => LETTERS.sign * pen(`${sign} ${one}`) <= LETTERS.size * room) ?? "";
  return `${sign} ${text}`.trim();
}

/* The lines of a fused operation, as elements. */
function lines(tape, number) {
  const { boxes, outputs, called, gradients, gradient, first, inner } = tape.formulas[number];
  const elements = [];
  const flows = new Map(); // of the values: a gradient flows where it flows to an operand
  const end = (id, n, place) => {
    const name = fits(called[n], CHIP.most, 600) ? called[n] : gradients[n] ?? called[n];
    const label = captionOfValue(tape, place, fitted(name, CHIP.most, 600), inner.includes(n)).replace("\n", n === gradient ? "\ng = " : "\n");
    const width = CHIP.width - CHIP.room + Math.max(CHIP.room, ...label.split("\n").map((line) => pen(line, 600)));
    elements.push(chip(id, label, "outer", { place, width }));
  };
  tape.into[number].forEach((edge) => {
    const place = [edge.source, edge.output];
    flows.set(edge.operand, tape.flow(edge));
    end(`v${edge.operand}`, edge.operand, place);
  });
  const join = (values, target) => [...new Set(values)].filter((read) => flows.has(read)).forEach((read) => {
    const edge = tape.into[number].find((one) => one.operand === read) ?? null;
    elements.push(wire(tape, `v${read}`, target, flows.get(read), `${target}.${read}`, edge));
  });
  for (const [key, [name, values]] of Object.entries(boxes)) {
    const longest = Math.max(...name.split("\n").map((line) => line.length));
    elements.push(chip(`v${key}`, name, name.length < 3 ? "line sign" : "line", { line: { name, reads: values.length, number }, width: Math.max(46, 20 + 7.2 * longest) }));
    flows.set(Number(key), values.some((read) => ["kept", "asked"].includes(flows.get(read))) ? "kept" : "plain");
    join(values, `v${key}`);
  }
  outputs.forEach((value, n) => {
    end(`o${n}`, first + n, [number, n]);
    join([value], `o${n}`);
  });
  const used = new Set(elements.filter((one) => one.group === "edges").map((one) => one.data.source));
  return elements.filter(({ group, data, classes }) => group === "edges" || used.has(data.id) || !classes.includes("outer") || data.id.startsWith("o"));
}

function chip(id, label, classes, data) {
  return { group: "nodes", data: { id, label, width: CHIP.width, height: CHIP.height, ...data }, classes: `box ${classes}`, grabbable: false };
}

function wire(tape, source, target, flow, n, edge) {
  const label = SIGNS[flow] ?? "", look = tape.look(flow, edge?.cut == null ? [] : [edge.cut]);
  return { group: "edges", data: { id: `e${n}`, source, target, label, edge }, classes: `wire ${flow} ${look}` };
}

function classesOf(tape, number) {
  const node = tape.nodes[number];
  if (node.inside !== null) return "fused";
  return node.kind === "operation" ? "operation" : node.kind;
}

function captionOfNode(tape, lanes, number) {
  const node = tape.nodes[number];
  const output = node.outputs[0];
  const what = node.op ?? (output.label || node.called !== null ? captionOfPlace(tape, lanes, [number, 0]).split("\n")[0] : node.kind);
  return captionOfValue(tape, [number, 0], fitted(what, CHIP.room));
}

/* A gradient is called without its loss where the name would be too long. */
function captionOfPlace(tape, lanes, place) {
  const name = nameOfPlace(tape, lanes, place), brief = name.replace(/^∂loss\[\d+\]/, "∂loss");
  return captionOfValue(tape, place, fitted(fits(name, CHIP.room, 600) ? name : brief, CHIP.room, 600));
}

/* inner: whether the number is that in the coordinate. */
function captionOfValue(tape, place, name, inner = false) {
  const value = inner ? numeric(tape.output(place).value) : tape.value(place);
  return `${name}\n${value === null ? sizeOf(tape.output(place)) : tape.told(place, value)}`;
}

/* What a place is called: its label if it has one. */
function nameOfPlace(tape, lanes, place) {
  const node = tape.nodes[place[0]];
  const label = tape.output(place).label;
  const lane = label ? label.level + (label.role === "hyperparameter" ? 1 : 0) : 0;
  const box = lanes.box(place);
  if (box?.kind === "loss" && box.names.get("loss")[0] === place[0]) return `loss[${tape.turn(place)}]`;
  if (node.of) return `∂${node.loss ? nameOfPlace(tape, lanes, node.loss) : "loss"}/∂${within(tape.coordinate(place), nameOfPlace(tape, lanes, node.of))}`;
  if (!label && node.called !== null) return node.called;
  if (!label) return node.op ?? (tape.value(place) === null ? node.kind : short(tape.value(place)));
  const name = called(label.name, lane);
  if (label.role === "gradient") return `∂loss/∂${within(tape.coordinate(place), name)}`;
  return node.kind === "constant" && label.role === "hyperparameter" ? name : `${name}[${node.step}]`;
}

const sizeOf = (output) => `[${output.shape.join("×")}]`;

/* Where the operations stand: in layers, from left to right. dagre does it with few crossings, but takes minutes for
   thousands of nodes; then each stands just before its first reader, and the layers are broken like lines of text. */
function arrange(elements) {
  const nodes = elements.filter((one) => one.group === "nodes");
  const edges = elements.filter((one) => one.group === "edges");
  const places = (nodes.length <= LEGIBLE ? placedByDagre : placedByDepth)(nodes, edges);
  for (const node of nodes) node.position = places.get(node.data.id);
  return elements;
}

function placedByDagre(nodes, edges) {
  const most = Math.max(0, ...nodes.map((node) => edges.filter((edge) => edge.data.target === node.data.id).length));
  const graph = new dagre.graphlib.Graph({ multigraph: true }).setGraph({ rankdir: "LR", nodesep: GAP.y, ranksep: clamp(12 * (most - 1), GAP.x, FAN) });
  for (const { data } of nodes) graph.setNode(data.id, { width: data.width, height: data.height });
  for (const { data } of edges) graph.setEdge(data.source, data.target, {}, data.id);
  dagre.layout(graph);
  const places = new Map(graph.nodes().map((id) => [id, { x: graph.node(id).x, y: graph.node(id).y }]));
  for (const edge of edges) {
    const { source, target, id } = edge.data;
    const corners = graph.edge(source, target, id).points.slice(1, -1).map(({ x, y }) => [x, y]);
    const beside = (node, side) => [node.x + (side * node.width) / 2, node.y]; // above and below are other boxes
    if (corners.length) bend(edge, [beside(graph.node(source), 1), ...corners, beside(graph.node(target), -1)], places);
  }
  return places;
}

function placedByDepth(nodes, edges) {
  const sources = new Map(nodes.map(({ data }) => [data.id, []]));
  const readers = new Map(nodes.map(({ data }) => [data.id, []]));
  for (const { data } of edges) {
    sources.get(data.target).push(data.source);
    readers.get(data.source).push(data.target);
  }
  const depth = new Map();
  const computed = [...sources.keys()].filter((id) => sources.get(id).length); // each after what it reads
  for (const id of computed) depth.set(id, 1 + Math.max(...sources.get(id).map((source) => depth.get(source) ?? 0)));
  const layers = [];
  for (const id of sources.keys()) {
    const here = depth.get(id) ?? Math.min(...readers.get(id).map((reader) => depth.get(reader) - 1), computed.length);
    (layers[here] ??= []).push(id);
  }
  return inLines(layers.filter(Boolean), edges);
}

function inLines(layers, edges) {
  const wide = CHIP.width + GAP.x, high = CHIP.height + GAP.y;
  const area = layers.reduce((total, layer) => total + layer.length, 0) * wide * high;
  const columns = Math.max(8, Math.ceil(Math.sqrt(area * 1.6) / wide));
  const places = new Map();
  for (let first = 0, top = 0; first < layers.length; first += columns) {
    const line = layers.slice(first, first + columns);
    line.forEach((layer, n) => layer.forEach((id, row) => places.set(id, { x: n * wide, y: top + row * high, top })));
    top += Math.max(...line.map((layer) => layer.length)) * high + GAP.y;
  }
  for (const edge of edges) {
    const { x: x0, y: y0 } = places.get(edge.data.source);
    const { x: x1, y: y1, top } = places.get(edge.data.target);
    if (x1 > x0) continue;
    const [right, left, between] = [x0 + wide / 2, x1 - wide / 2, top - CHIP.height / 2 - GAP.y];
    bend(edge, [[x0 + CHIP.width / 2, y0], [right, y0], [right, between], [left, between], [left, y1], [x1 - CHIP.width / 2, y1]], places);
  }
  return places;
}

/* Let an edge run by some corners. */
function bend(edge, points, places) {
  const offset = ([x, y], id) => `${x - places.get(id).x}px ${y - places.get(id).y}px`;
  const { source, target } = edge.data;
  Object.assign(edge.data, { from: offset(points[0], source), to: offset(points.at(-1), target), ...bends(points) });
  edge.classes += " arrow bent";
}
