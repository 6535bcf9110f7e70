"use strict";
/* The recording as data: its places, which gradients flow along its edges, and what came along. */

const WORDS = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity }; // numbers that JSON has not
const SKIPPED = "skipped";
const NOUGHT = "~ 0", NONE_YET = "none yet"; // what is 0 up to rounding; a gradient that no loss has sent
const STRENGTH = { kept: 0, asked: 1, gate: 2, value: 3, cut: 4 };

const SIGNS = { cut: "✂\uFE0E", idle: "✂\uFE0E", asked: "✂\uFE0E?", gate: "⊘" }; // on arrows

const COORDINATES = { unit: "u" }; // the letter of one that has no name as a function, as log and sqrt have

const numeric = (value) => (typeof value === "string" ? WORDS[value] : value);
const keyOf = (place) => `${place[0]}:${place[1]}`;

/* What a coordinate is called alone, and a name in it; the name itself where the coordinate is its own. */
const word = (coordinate) => COORDINATES[coordinate] ?? coordinate;
const within = (coordinate, name) => (COORDINATES[coordinate] ? `${word(coordinate)}(${name})` : `${coordinate} ${name}`.trimStart());

/* A number in few digits, as Python's `short` writes it. */
function short(value, digits = 4) {
  if (value === null || value === undefined) return "unknown";
  if (!Number.isFinite(value)) return String(value).toLowerCase().replace("inity", "");
  const text = value.toExponential(digits - 1), power = Number(text.split("e")[1]);
  return power < -4 || power >= digits ? text.replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(text));
}

/* A map from what is first in each row to the rest: a number that JSON holds, and more. */
const byFirst = (rows, key) => new Map(rows.map(([first, value, ...rest]) => [key(first), [numeric(value), ...rest]]));

/* Several numbers as their norm. */
const together = (values) => (values.length > 1 ? Math.hypot(...values) : values[0]);

/* Some names, and how many more there are. */
const listed = (names, most = 3) => names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");

/* A file's name, with its folders where it belongs to the package; a notebook's code is of a cell. */
function shorten(file) {
  if (/[\\/]ipykernel_\d+[\\/]\d+\.py$|^<ipython-input-.*>$/.test(file)) return "cell";
  const parts = file.split(/[\\/]/);
  const folder = parts.slice(0, -1).lastIndexOf("tinyhyper");
  return parts.slice(folder).join("/");
}

class Tape {
  constructor(data) {
    Object.assign(this, data);
    this.into = data.nodes.map(() => []);
    this.outof = data.nodes.map(() => []);
    for (const edge of data.edges) {
      this.into[edge.target].push(edge);
      this.outof[edge.source].push(edge);
    }
    this.gradients = new Map(); // by place, the gradients that backward passes left there
    for (const node of data.nodes) {
      if (node.of !== null) this._append(this.gradients, keyOf(node.of), node);
    }
    this.ended = new Map(); // by place, the cuts made there
    for (const cut of data.cuts) this._append(this.ended, keyOf([cut.source, cut.output]), cut);
    this.shut = new Set(data.gates.map(keyOf)); // where a loss reads a number and its own gradient stops
    this.haunted = data.nodes.some(({ outputs }) => outputs.some(({ gradient }) => gradient !== null)); // whether ghosts were recorded
    this.nil = { gradients: new Set(data.noughts.gradients), cuts: new Set(data.noughts.cuts) }; // what is 0 up to rounding
    this.past = { places: byFirst(data.uncut.places, keyOf), cuts: byFirst(data.uncut.cuts, (cut) => cut) }; // if no cut is made
    this.without = new Set(); // the numbers of the cuts that are switched off
  }

  /* Whether no cut is made, and what gradients are then is known. */
  get free() {
    return this.past.cuts.size > 0 && this.cuts.every(({ number, severed }) => !severed || this.without.has(number));
  }

  /* What a gradient is where no cut is made, from all losses together; null where that is not asked. place: of the value. */
  whole(place) {
    return this.free ? this.past.places.get(keyOf(place)) ?? null : null;
  }

  output([node, output]) {
    return this.nodes[node].outputs[output];
  }

  /* The number a person means; null where a place holds more than one. */
  value(place) {
    const output = this.output(place);
    return numeric(output.label?.value ?? output.value);
  }

  /* Whether a step has not taken a place: what it made, or a loss or gradient, of this value or norm, that was not finite. */
  skips(place, value) {
    const node = this.nodes[place[0]], { step } = node;
    if (this.skipped.includes(step) && node.kind === "operation" && node.number < this.ends[step - 1]) return true;
    return this.skipped.includes(step + 1) && value !== null && !Number.isFinite(value);
  }

  /* A number of a place in few digits, or in a word. */
  told(place, value) {
    return this.skips(place, value) ? SKIPPED : this.nil.gradients.has(place[0]) ? NOUGHT : short(value);
  }

  /* The norm of an array, in few digits or in a word. */
  norm(place, digits = 4) {
    const value = numeric(this.output(place).norm);
    return this.skips(place, value) ? SKIPPED : `norm ${short(value, digits)}`;
  }

  /* Whether a gradient is 0 because no loss has sent one yet. */
  waiting(place) {
    return this.nodes[place[0]].kind === "constant" && this.output(place).label?.role === "gradient" && this.value(place) === 0;
  }

  /* Whether what backward passes left at a place is 0 up to rounding. */
  flat(place) {
    const found = this.gradients.get(keyOf(place)) ?? [];
    return found.length > 0 && found.every(({ number }) => this.nil.gradients.has(number));
  }

  /* The number of a loss: its step; without steps, its place among the losses. */
  turn(place) {
    const among = this.losses().map(([node]) => node).sort((a, b) => a - b);
    return this.steps ? this.nodes[place[0]].step : Math.max(0, among.indexOf(place[0]));
  }

  /* A gradient in the coordinate of a place, as one with respect to the value itself; null where they are the same. */
  meant(place, gradient) {
    const slope = numeric(this.output(place).label?.slope ?? null);
    return slope && gradient !== null ? gradient / slope : null;
  }

  /* The coordinate in which a gradient is; nothing where it is the value's own. place: of the gradient, or of what it
     is with respect to. */
  coordinate(place) {
    return this.output(this.nodes[place[0]].of ?? place).label?.coordinate ?? "";
  }

  /* What an edge does to gradients, given the cuts that are switched off: such an edge is "asked" about. */
  flow(edge) {
    if (edge.flow === "kept" && this.shut.has(keyOf([edge.source, edge.output])) && !this.nodes[edge.target].sweep) return "gate";
    if (edge.cut === null || !this.without.has(edge.cut)) return edge.flow;
    return this.cuts[edge.cut].severed ? "asked" : "value";
  }

  passes(edge) {
    return this.flow(edge) === "kept" || this.flow(edge) === "asked";
  }

  /* The edges that one output of a node is computed from. */
  operands([node, output]) {
    const needed = this.nodes[node].depends?.[output];
    return needed ? this.into[node].filter((edge) => needed.includes(edge.operand)) : this.into[node];
  }

  /* The outputs that are computed from the operand of an edge. */
  readers(edge) {
    const node = this.nodes[edge.target];
    return node.outputs
      .map((_, output) => [edge.target, output])
      .filter(([, output]) => !node.depends || node.depends[output].includes(edge.operand));
  }

  /* The places that gradients of some places reach, going back along what passes. */
  leading(places) {
    return this._spread(places, (place) =>
      this.operands(place).filter((edge) => this.passes(edge)).map((edge) => [edge.source, edge.output]));
  }

  /* The places from which gradients reach some places, along the edges that are open to them. */
  following(places, open = (edge) => this.passes(edge)) {
    return this._spread(places, ([node, output]) =>
      this.outof[node].filter((edge) => edge.output === output && open(edge))
        .flatMap((edge) => this.readers(edge)));
  }

  /* The places that read what some cuts let pass. */
  behind(cuts) {
    return cuts.flatMap((cut) => this.outof[cut.source].filter((edge) => edge.cut === cut.number).flatMap((edge) => this.readers(edge)));
  }

  /* The cuts that stop gradients on their path to some cuts without a ghost. */
  first(cuts) {
    const silent = (edge) => edge.flow === "kept" || (edge.flow === "cut" && this.cuts[edge.cut].ghost === null);
    const places = this.following(this.behind(cuts), silent).keys();
    return [...places].flatMap((key) => this.ended.get(key) ?? []).filter((cut) => cut.ghost !== null).sort((a, b) => a.number - b.number);
  }

  /* Whether a loss depends on what some cuts let pass. */
  needed(cuts) {
    const places = this.following(this.behind(cuts), () => true);
    return this.losses().some((loss) => places.has(keyOf(loss)));
  }

  /* The cuts that are in force where the paths forward from some places end. */
  barriers(places) {
    const found = new Set();
    for (const key of places) {
      for (const cut of this.ended.get(key) ?? []) {
        if (cut.targets.length && !this.without.has(cut.number)) found.add(cut);
      }
    }
    return [...found];
  }

  /* What some cuts stopped, as far as it is known: of each its number, its ghost, and whether that is 0 up to rounding.
     Where no cut is made, what comes past each. */
  ghosts(cuts) {
    if (this.free) return cuts.filter(({ number }) => this.past.cuts.has(number)).map(({ number }) => [number, ...this.past.cuts.get(number)]);
    return cuts.filter(({ ghost }) => ghost !== null).map(({ number, ghost }) => [number, numeric(ghost), this.nil.cuts.has(number)]);
  }

  /* What some cuts stopped, as a number, or as one norm. found: as `ghosts` gives it. */
  amount(found) {
    return found.every(([, , nil]) => nil) ? NOUGHT : short(together(found.map(([, value]) => value)));
  }

  /* The calls of a node's operation with operands and results of the same shapes, in their order. */
  like(node) {
    const sizes = (one) => [...this.into[one.number].map((edge) => this.output([edge.source, edge.output])), ...one.outputs].map(sizeOf).join();
    const size = sizes(node);
    return this.nodes.filter((one) => one.seconds !== null && one.op === node.op && sizes(one) === size);
  }

  /* What gradients would be without some cuts, all others being made, numbers first. What arrays of several cuts add up
     to is not known. */
  arriving(cuts) {
    const numbers = new Set(cuts.map((cut) => cut.number)), found = new Map();
    for (const one of this.arrivals) if (numbers.has(one.cut)) this._append(found, keyOf(one.place), one);
    return [...found.values()].filter((all) => all.length === 1 || this.value(all[0].place) !== null).map((all) => {
      const { place } = all[0], old = numeric(this.output(place).gradient), added = all.map(({ value }) => numeric(value) - (old ?? 0));
      return { place, value: all.length > 1 ? (old ?? 0) + added.reduce((sum, more) => sum + more) : numeric(all[0].value) };
    });
  }

  /* How an arrow of a flow is drawn: as idle, if a gradient would end there without its cuts, too. */
  look(flow, cuts) {
    return flow === "cut" && !cuts.some((cut) => this.cuts[cut].severed) ? "idle" : flow;
  }

  /* What kind of value was cut. A state is called as its rule calls it. */
  kind({ source, output }) {
    const { label } = this.output([source, output]);
    return label?.role === "state" ? ofState(label.name) : label?.role ?? "values";
  }

  /* What stands on an arrow beside its ✂: what some of its cuts stopped, of each kind of value if it has cuts of several:
     of weights in a line, of states in another. cuts: of the arrow.  found: as `ghosts` gives it.  alone: as `alone` says. */
  stopped(cuts, found, alone = this.alone(cuts)) {
    const kinds = new Map(), several = new Set(cuts.map((cut) => this.kind(this.cuts[cut]))).size > 1;
    for (const one of found) this._append(kinds, this.kind(this.cuts[one[0]]), one);
    const [first, ...rest] = [...kinds].map(([kind, stopped]) => `${several ? `${kind} ` : ""}${this.amount(stopped)}`);
    return [first, rest.join(", ")].filter(Boolean).map((line) => line + alone).join("\n");
  }

  /* A word for ghosts of some cuts, by their numbers, while others are switched off that stop a gradient: they are
     theirs alone. All ghosts are of a run in which every other cut was made. free: whether numbers may be those without any cut. */
  alone(cuts, free = this.free) {
    return !free && [...this.without].some((cut) => this.cuts[cut].severed && !cuts.includes(cut)) ? " alone" : "";
  }

  /* Which losses backward passes began from. */
  losses() {
    const found = new Map();
    for (const node of this.nodes) if (node.loss !== null) found.set(keyOf(node.loss), node.loss);
    return [...found.values()];
  }

  _spread(places, next) {
    const found = new Map(places.map((place) => [keyOf(place), place]));
    const waiting = [...places];
    while (waiting.length) {
      for (const place of next(waiting.pop())) {
        if (!found.has(keyOf(place))) {
          found.set(keyOf(place), place);
          waiting.push(place);
        }
      }
    }
    return found;
  }

  _append(map, key, value) {
    if (map.has(key)) map.get(key).push(value);
    else map.set(key, [value]);
  }
}
