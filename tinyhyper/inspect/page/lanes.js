"use strict";
/* The overview: which boxes there are, and which arrows run between them, kept or cut.

   Each level of the tower is a lane, and a lane has a row for each name, or one row for all names together. A box
   stands for what one row holds at one step (with the optimizer's memory), for its gradient, or for a whole loss.
   What happens between two boxes is one arrow. This is the figure that `tinyhyper.inspect.svg` draws, of all steps. */

const TOGETHER = "*";

class Lanes {
  /* apart: says of a lane whether each name has a row of its own. */
  constructor(tape, apart) {
    this.tape = tape;
    this.apart = apart;
    this.boxes = new Map();
    this.where = new Map(); // the box of a place
    this.lanes = new Map();
    const moved = (node) => node.kind === "operation"; // a step moves weights in the order of params, a loss reads them in its own
    for (const node of [...tape.nodes].sort((a, b) => moved(b) - moved(a))) node.outputs.forEach((output, n) => this._place(node, n, output.label));
    for (const node of tape.nodes) if (node.of !== null) this._placeGradient(node);
    for (const loss of this._losses().sort((a, b) => b[0] - a[0])) this._gather(loss);
  }

  /* Whether the recording holds optimizer steps to lay out. */
  get any() {
    return [...this.boxes.values()].some((box) => box.kind === "values");
  }

  box(place) {
    return this.where.get(keyOf(place));
  }

  _lane(lane) {
    if (!this.lanes.has(lane)) this.lanes.set(lane, { lane, rows: [], names: new Set(), fixed: new Set(), rules: new Set() });
    return this.lanes.get(lane);
  }

  _place(node, n, label) {
    if (label === null || (label.role === "hyperparameter" && label.name === "t")) return; // t: the step's number
    const fixed = label.role === "hyperparameter" && node.kind === "constant";
    const lane = label.role === "hyperparameter" ? label.level + 1 : label.level;
    const owner = label.role === "state" ? label.name.slice(0, label.name.lastIndexOf(".")) : label.name;
    const entry = this._lane(lane);
    if (fixed) entry.fixed.add(label.name);
    else entry.names.add(owner);
    const kind = fixed ? "fixed" : label.role === "gradient" ? "gradient" : "values";
    const box = this._join([node.number, n], lane, fixed ? TOGETHER : owner, fixed ? null : node.step, kind);
    if (label.role !== "state" && node.op?.endsWith(".rule")) entry.rules.add(node.op.slice(0, -".rule".length));
    if (label.role === "state") box.state.add(ofState(label.name));
    else box.names.set(label.name, [node.number, n]);
    if (kind === "gradient") box.coordinates.set(label.name, this.tape.coordinate([node.number, n]));
  }

  _placeGradient(node) {
    const of = this.box(node.of);
    if (!of || of.kind !== "values") return;
    const label = this.tape.output(node.of).label;
    const box = this._join([node.number, 0], of.lane, label.name, node.step, "gradient");
    box.names.set(label.name, [node.number, 0]);
    box.coordinates.set(label.name, this.tape.coordinate(node.of));
  }

  _join(place, lane, name, step, kind) {
    const row = kind === "loss" || this.apart(lane) ? name : TOGETHER;
    const id = `${lane}|${row}|${step}|${kind}`;
    if (!this.boxes.has(id)) {
      this.boxes.set(id, { id, lane, row, step, kind, places: [], names: new Map(), coordinates: new Map(), state: new Set() });
    }
    const box = this.boxes.get(id);
    if (!this.where.has(keyOf(place))) box.places.push(place);
    this.where.set(keyOf(place), box);
    return box;
  }

  /* What backward passes began from; if none was recorded, what was computed last from any weights. */
  _losses() {
    const known = this.tape.losses();
    if (known.length) return known;
    return this.tape.nodes
      .filter((node) => !this.box([node.number, 0]) && this.tape.into[node.number].some((edge) => edge.flow === "kept"))
      .filter((node) => this.tape.outof[node.number].every((edge) => this.tape.nodes[edge.target].sweep))
      .map((node) => [node.number, 0]);
  }

  /* Put a loss, and all between it and other boxes, into one box. */
  _gather(loss) {
    const step = this.tape.nodes[loss[0]].step;
    const box = this._join(loss, 0, `loss ${loss[0]}`, step, "loss");
    box.names.set("loss", loss);
    const waiting = [loss[0]];
    while (waiting.length) {
      for (const edge of this.tape.into[waiting.pop()]) {
        const source = this.tape.nodes[edge.source];
        const place = [edge.source, edge.output];
        if (!this.box(place) && edge.flow !== "cut" && this.tape.flow(edge) !== "gate" && source.kind === "operation" && !source.sweep) {
          this._join(place, 0, box.row, step, "loss");
          waiting.push(edge.source);
        }
      }
    }
  }

  /* One arrow for each pair of boxes and each flow; found when first asked for. */
  get arrows() {
    return (this.found ??= this._arrows());
  }

  _arrows() {
    const found = new Map();
    const add = (source, target, flow, link, cuts) => {
      const id = `${source.id}→${target.id}→${flow}`;
      if (!found.has(id)) found.set(id, { id, source, target, flow, links: [], cuts: new Set() });
      found.get(id).links.push(link);
      for (const cut of cuts) found.get(id).cuts.add(cut);
    };
    const ends = new Map();
    for (const box of this.boxes.values()) {
      if (box.kind !== "fixed") for (const [node] of box.places) ends.set(node, box);
    }
    for (const [node, target] of ends) {
      const loss = this.tape.nodes[node].loss;
      if (loss && this.box(loss)) add(this.box(loss), target, "backward", { place: loss, node }, []);
      for (const path of this._paths(node)) {
        const bar = path.source.kind === "fixed";
        if (path.source === target || (path.flow === "value" && target.kind !== "values")) continue;
        if (bar && this._lane(path.source.lane).names.size) continue; // its name stands beside the lane
        add(path.source, target, path.flow, { place: path.place, node }, path.cuts);
      }
    }
    return [...found.values()];
  }

  /* The boxes that a node was computed from, through nodes that are in none, with the cuts on the path. */
  _paths(number) {
    const found = [];
    const seen = new Set();
    const waiting = [[number, "kept", []]];
    while (waiting.length) {
      const [target, soFar, cuts] = waiting.pop();
      for (const edge of this.tape.into[target]) {
        const here = this.tape.flow(edge);
        const flow = STRENGTH[here] > STRENGTH[soFar] ? here : soFar;
        const passed = edge.cut === null ? cuts : [...cuts, edge.cut];
        const place = [edge.source, edge.output];
        const source = this.box(place);
        const mark = `${edge.source} ${flow} ${passed}`;
        if (source) {
          found.push({ source, place, flow, cuts: passed });
        } else if (!seen.has(mark) && (flow !== "value" || !this.tape.nodes[edge.source].sweep)) {
          seen.add(mark);
          waiting.push([edge.source, flow, passed]);
        }
      }
    }
    return found;
  }
}

/* What the inspector calls a value: with its level above the first, but for the alpha of level 1, the paper's kappa. */
function called(name, lane) {
  if (lane === 2 && /^alpha(\.|$)/.test(name)) return name.replace("alpha", "kappa");
  return lane > 1 ? `level${lane - 1}.${name}` : name;
}

/* What a rule calls a state. name: with that of its weight. */
const ofState = (name) => name.slice(name.lastIndexOf(".") + 1);

const many = (box) => (box.lane ? "values" : "weights");

/* What a box is called outside its lane. */
function nameOf(box) {
  const names = [...box.names.keys()];
  const at = box.step === null ? "" : `[${box.step}]`;
  if (box.kind === "loss") return `loss${at}`;
  const coordinate = box.coordinates.get(names[0]) ?? "";
  const one = names.length === 1 ? within(coordinate, called(names[0], box.lane)) : `${names.length} ${many(box)}`;
  return box.kind === "gradient" ? `∂loss${at}/∂${one}${at}` : one + at;
}

/* What the first line of a box may be, the longest first; the level of a gradient, which its lane has too, is left out last. */
function titlesOf(box) {
  const names = [...box.names.keys()], at = `[${box.step}]`, alone = names.length === 1;
  if (box.kind === "loss") return [`loss${at}`];
  if (box.kind !== "gradient") return [(alone ? called(names[0], box.lane) : `${names.length} ${many(box)}`) + at];
  const coordinate = alone ? box.coordinates.get(names[0]) ?? "" : "", by = alone ? called(names[0], box.lane) : many(box);
  return [`∂loss/∂${within(coordinate, by)}`, `∂/∂${within(coordinate, by)}`, `∂/∂${within(coordinate, "…" + names[0])}`];
}

/* What may be said of a box's number, the longest first: a number has all its digits wherever it stands, a norm may have fewer. */
function amountsOf(box, tape) {
  const [place, more] = box.names.values();
  if (box.places.some((one) => tape.skips(one, box.kind === "values" ? null : numeric(tape.output(one).norm)))) return [SKIPPED];
  if (more && box.kind === "gradient" && !box.lane) { // all weights move by one rule: their gradients have a norm together
    const all = Math.hypot(...[...box.names.values()].map((one) => numeric(tape.output(one).norm)));
    return [4, 3, 2].map((digits) => `norm ${short(all, digits)}`);
  }
  if (!place || more) return [""];
  if (tape.waiting(place)) return [NONE_YET];
  if (tape.value(place) !== null) return [tape.told(place, tape.value(place))];
  return box.kind === "gradient" ? [4, 3, 2].map((digits) => tape.norm(place, digits)) : [""];
}

/* The two lines in a box, in letters of a size; in larger letters no gradient has its long name, whether that fits or not. */
function captionOf(box, tape, size = LETTERS.size) {
  const names = [...box.names.keys()], room = roomOf(box, size);
  if (box.kind === "fixed") {
    const held = names.map((name) => `${called(name, box.lane)} = ${short(tape.value(box.names.get(name)))}`);
    return `${held.join(", ")}, fixed: nothing tunes it`;
  }
  const number = amountsOf(box, tape).find((text) => fits(text, room, weightOf(box)));
  const titles = titlesOf(box).slice(box.kind === "gradient" && size > LETTERS.size ? 1 : 0), at = box.kind === "values" ? `[${box.step}]` : "";
  const title = titles.find((text) => fits(text, room, weightOf(box)))
    ?? fitted(titles.at(-1).slice(0, titles.at(-1).length - at.length), room - pen(at)) + at;
  const state = box.state.size ? `with ${[...box.state].sort().join(", ")}` : "";
  const held = names.length > 1 && box.kind === "values" ? names.map((name) => called(name, box.lane)).join(", ") : "";
  const second = [[number, state], [number, held]].map((parts) => parts.filter(Boolean).join(", "));
  return `${title}\n${second.find((text) => fits(text, room, weightOf(box))) ?? fitted(second[1], room)}`.trimEnd();
}

/* How large letters can be in boxes that are seen from far away: no name is cut short that would not be nearby. */
function farLetters(boxes, tape) {
  const shown = (box) => {
    const titles = titlesOf(box), room = roomOf(box);
    const whole = titles.slice(0, 2).filter((text) => fits(text, room, weightOf(box)));
    const widest = [whole.at(-1) ?? titles.at(-1), amountsOf(box, tape).at(-1)].map((text) => pen(text, weightOf(box)));
    return 0.99 * room / Math.max(...widest); // so that it fits after rounding, too
  };
  return clamp(LETTERS.size * Math.min(...boxes.map(shown)), LETTERS.size, LETTERS.far);
}

const LETTERS = { size: 13.5, sign: 15, far: 19, least: 9, family: "system-ui, Helvetica Neue, Arial, sans-serif" }; // least: on the screen
const ROOM = { box: 114, round: 104, arrow: 170, corner: 80 }; // of a line in a box, in one with round ends; on an arrow that is straight, at the corner of another

/* How much room a line in a box has, in units of letters of the usual size. */
const roomOf = (box, size = LETTERS.size) => (box.kind === "gradient" ? ROOM.round : ROOM.box) * LETTERS.size / size;
const weightOf = (box) => (box.kind === "loss" ? 600 : 400);
const paper = document.createElement("canvas").getContext("2d"), widths = new Map();

/* How wide a text is in a box, as the browser draws it; each text is measured once. */
function pen(text, weight = 400) {
  const key = `${weight} ${text}`;
  if (!widths.has(key)) {
    paper.font = `${weight} ${LETTERS.size}px ${LETTERS.family}`;
    widths.set(key, paper.measureText(text).width);
  }
  return widths.get(key);
}

const fits = (text, room, weight) => pen(text, weight) <= room;

/* As much of a text as fits. */
function fitted(text, room, weight) {
  let part = text;
  for (let length = text.length - 1; length > 0 && !fits(part, room, weight); length--) part = `${text.slice(0, length)}…`;
  return part;
}
