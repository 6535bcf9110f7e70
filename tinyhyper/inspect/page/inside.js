"use strict";
/* What is in a box: its operations, each a node, and what they read; and what is in a fused operation. */

const CHIP = { width: 108, height: 42 };
const GAP = { x: 40, y: 24 };
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
      if (other && other !== box) outer.set(keyOf(place), place);
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
      elements.push(wire(source, `n${number}`, tape.flow(edge), elements.length, edge));
    }
  }
  return elements;
}

/* The lines of a fused operation, as elements. */
function lines(tape, lanes, number) {
  const node = tape.nodes[number];
  const inside = tape.insides[node.inside];
  const elements = [];
  const first = inside.operands + inside.constants.length;
  for (let n = 0; n < inside.operands; n++) {
    const edge = tape.into[number].find((edge) => edge.operand === n);
    const place = edge && [edge.source, edge.output];
    elements.push(chip(`v${n}`, place ? captionOfPlace(tape, lanes, place) : `operand ${n}`, "outer", { place }));
  }
  const flows = inside.lines.map(() => "plain"); // of the values in order: a gradient flows where it flows to an operand
  flows.unshift(...Array.from({ length: first }, (_, n) => {
    const edge = tape.into[number].find((edge) => edge.operand === n);
    return n < inside.operands && edge ? tape.flow(edge) : "plain";
  }));
  inside.lines.forEach(([, reads], n) => { if (reads.some((read) => ["kept", "asked"].includes(flows[read]))) flows[first + n] = "kept"; });
  inside.constants.forEach((value, n) =>
    elements.push(chip(`v${inside.operands + n}`, typeof value === "object" ? "constant" : short(numeric(value)), "constant", {})));
  inside.lines.forEach(([name, reads], n) => {
    elements.push(chip(`v${first + n}`, name, "line", { line: { name, reads: reads.length, number } }));
    reads.forEach((read, operand) => {
      const edge = read < inside.operands ? tape.into[number].find((edge) => edge.operand === read) : null;
      elements.push(wire(`v${read}`, `v${first + n}`, flows[read], `${n}.${operand}`, edge));
    });
  });
  inside.outputs.forEach((value, n) => {
    elements.push(chip("o" + n, captionOfPlace(tape, lanes, [number, n]), "outer", { place: [number, n] }));
    elements.push(wire(`v${value}`, `o${n}`, flows[value], `o${n}`, null));
  });
  return elements;
}

function chip(id, label, classes, data) {
  return { group: "nodes", data: { id, label, ...CHIP, ...data }, classes: `box ${classes}`, grabbable: false };
}

function wire(source, target, flow, n, edge) {
  const label = flow === "cut" ? "✂\uFE0E" : flow === "asked" ? "✂\uFE0E?" : "";
  return { group: "edges", data: { id: `e${n}`, source, target, label, edge }, classes: `wire ${flow}` };
}

function classesOf(tape, number) {
  const node = tape.nodes[number];
  if (node.inside !== null) return "fused";
  return node.kind === "operation" ? "operation" : node.kind;
}

function captionOfNode(tape, lanes, number) {
  const node = tape.nodes[number];
  const output = node.outputs[0];
  const what = node.op ?? (output.label ? captionOfPlace(tape, lanes, [number, 0]).split("\n")[0] : node.kind);
  const value = tape.value([number, 0]);
  return `${clip(what, 15)}\n${value === null ? sizeOf(output) : short(value)}`;
}

function captionOfPlace(tape, lanes, place) {
  const value = tape.value(place);
  return `${clip(nameOfPlace(tape, lanes, place), 15)}\n${value === null ? sizeOf(tape.output(place)) : short(value)}`;
}

/* What a place is called: its label if it has one. */
function nameOfPlace(tape, lanes, place) {
  const node = tape.nodes[place[0]];
  const label = tape.output(place).label;
  const lane = label ? label.level + (label.role === "hyperparameter" ? 1 : 0) : 0;
  const box = lanes.box(place);
  if (box?.kind === "loss" && box.names.get("loss")[0] === place[0]) return `loss[${node.step}]`;
  if (node.of) return `∂loss/∂${tape.coordinate(place)}${nameOfPlace(tape, lanes, node.of)}`;
  if (!label && node.called !== null) return node.called;
  if (!label) return node.op ?? (tape.value(place) === null ? node.kind : short(tape.value(place)));
  const name = called(label.name, lane);
  if (label.role === "gradient") return `∂loss/∂${tape.coordinate(place)}${name}`;
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
  const graph = new dagre.graphlib.Graph({ multigraph: true }).setGraph({ rankdir: "LR", nodesep: GAP.y, ranksep: GAP.x });
  for (const { data } of nodes) graph.setNode(data.id, { ...CHIP });
  for (const { data } of edges) graph.setEdge(data.source, data.target, {}, data.id);
  dagre.layout(graph);
  const places = new Map(graph.nodes().map((id) => [id, { x: graph.node(id).x, y: graph.node(id).y }]));
  for (const edge of edges) {
    const { points } = graph.edge(edge.data.source, edge.data.target, edge.data.id);
    if (points.length > 2) bend(edge, points.map(({ x, y }) => [x, y]), places);
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
