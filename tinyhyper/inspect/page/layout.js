"use strict";
/* Where the boxes of the overview stand, and how its arrows run, as elements for cytoscape.

   Where a box stands is what it means: its step is its column, its level its lane. Inside an opened box nothing
   says where, so there cytoscape's own layout decides. */

const PITCH = 456; // the width of one step
const BOX = { width: 128, height: 44 };
const ROW = { pitch: 117, below: 56 }; // a row's height, and how far its gradients stand below
const BAR = 56; // the height of a lane with nothing but fixed hyperparameters
const ACROSS = { values: 0, loss: 144, gradient: 288 };
const CHANNEL = 10; // how far beside a row of boxes the arrows run that go past them
const TURN = 30; // how far from the middle of a box the arrows run that go up or down
const TRACK = { first: 84, room: 48, pitch: 8 }; // how far from it those run that go down past other boxes of a column
const BETWEEN = 90; // how far before it is the middle between two steps
const DOWN = { first: 66, room: 34, pitch: 6 }; // how far before it the arrows run that go down from a bar past other boxes

class Layout {
  constructor(lanes) {
    this.lanes = lanes;
    this.steps = [...new Set([...lanes.boxes.values()].filter((box) => box.step !== null).map((box) => box.step))].sort((a, b) => a - b);
    this.whole = new Set([...lanes.boxes.values()].filter((box) => box.kind !== "values").map((box) => box.step)); // steps
    this.top = new Map();
    this.bottom = 0;
    this.losses = new Map(); // by step, those drawn so far, which stand below each other
    for (const lane of [...lanes.lanes.keys()].sort((a, b) => b - a)) {
      this.top.set(lane, this.bottom);
      this.bottom += this.bar(lane) ? BAR : ROW.pitch * this.rows(lane).length;
    }
    this.bottom += ROW.below * Math.max(0, ...this._lossesAt().map((count) => count - 1));
    this.centers = new Map([...lanes.boxes.values()].map((box) => [box.id, this._center(box)]));
    this.letters = farLetters([...lanes.boxes.values()].filter((box) => box.kind !== "fixed"), lanes.tape);
    this.heights = new Map(this.steps.map((step) => [step, []])); // of the values of a step
    for (const box of lanes.boxes.values()) if (box.kind === "values") this.heights.get(box.step).push(this.centers.get(box.id).y);
  }

  bar(lane) {
    return !this.lanes.lanes.get(lane).names.size;
  }

  rows(lane) {
    return this.lanes.apart(lane) ? [...this.lanes.lanes.get(lane).names] : [TOGETHER];
  }

  /* From where to where a lane stands. */
  reach(lane) {
    const height = this.bar(lane) ? BAR : ROW.pitch * this.rows(lane).length;
    return [this.top.get(lane) - 20, this.top.get(lane) - 20 + height];
  }

  get span() {
    return { x1: -90, x2: this.right(this.steps.at(-1)), y1: -28, y2: this.bottom - 20 };
  }

  column(step) {
    return (step - this.steps[0]) * PITCH;
  }

  /* Where a step ends. */
  right(step) {
    return this.column(step) + (this.whole.has(step) ? PITCH - 90 : 156);
  }

  elements() {
    const boxes = [...this.lanes.boxes.values()].filter((box) => box.kind !== "fixed" || this.bar(box.lane));
    return [
      ...this.steps.map((step) => this._band(step)),
      ...boxes.map((box) => this._node(box)),
      ...this.lanes.arrows.map((arrow) => this._edge(arrow)),
    ];
  }

  _lossesAt() {
    const counts = new Map();
    for (const box of this.lanes.boxes.values()) {
      if (box.kind === "loss") counts.set(box.step, (counts.get(box.step) ?? 0) + 1);
    }
    return [...counts.values(), 1];
  }

  /* How high the first loss of a step stands: below the weights. */
  get firstLoss() {
    return this.top.get(0) + ROW.pitch * (this.rows(0).length - 1) + ROW.below;
  }

  _center(box) {
    const row = Math.max(0, this.rows(box.lane).indexOf(box.row));
    const y = this.top.get(box.lane) + ROW.pitch * row;
    if (box.kind === "fixed") return { x: (this.span.x1 + this.span.x2) / 2, y };
    const x = this.column(box.step) + ACROSS[box.kind];
    if (box.kind !== "loss") return { x, y: box.kind === "gradient" ? y + ROW.below : y };
    const before = this.losses.get(box.step) ?? 0;
    this.losses.set(box.step, before + 1);
    return { x, y: this.firstLoss + ROW.below * before };
  }

  _band(step) {
    const width = this.whole.has(step) ? PITCH - 16 : 230;
    const position = { x: this.column(step) - 82 + width / 2, y: (this.span.y1 + this.span.y2) / 2 };
    const data = { id: `band ${step}`, width, height: this.span.y2 - this.span.y1 };
    return { group: "nodes", data, position, classes: "band", selectable: false, grabbable: false };
  }

  _node(box) {
    const { tape } = this.lanes, letters = this.letters;
    const data = { id: box.id, label: captionOf(box, tape), far: captionOf(box, tape, letters), letters, width: BOX.width, height: BOX.height, box };
    if (box.kind === "fixed") Object.assign(data, { width: this.span.x2 - this.span.x1 - 30, height: 30 });
    return { group: "nodes", data, position: { ...this.centers.get(box.id) }, classes: `box ${box.kind}`, grabbable: false };
  }

  _edge(arrow) {
    const points = this._route(arrow);
    const room = points.length === 2 ? ROOM.arrow : ROOM.corner, sign = signOf(arrow.flow, [...arrow.cuts], room);
    const ghosts = arrow.flow === "asked" ? this._ghosts(arrow) : "", one = arrow.cuts.size === 1;
    const data = {
      id: arrow.id, source: arrow.source.id, target: arrow.target.id, arrow,
      from: this._offset(points[0], arrow.source), to: this._offset(points.at(-1), arrow.target),
      label: ghosts ? `${one ? `${sign}:` : SIGNS.asked} ${ghosts}` : sign, // several have their kinds instead of their numbers
    };
    const bent = points.length > 2;
    if (bent) Object.assign(data, bends(points));
    return { group: "edges", data, classes: `arrow ${arrow.flow} ${this.lanes.tape.look(arrow.flow, [...arrow.cuts])}${bent ? " bent" : ""}` };
  }

  /* What would come along an arrow without its cuts, as far as it is known. */
  _ghosts({ cuts }) {
    const { tape } = this.lanes;
    return tape.stopped([...cuts], tape.ghosts([...cuts].map((cut) => tape.cuts[cut])));
  }

  _offset(point, box) {
    const center = this.centers.get(box.id);
    return `${point[0] - center.x}px ${point[1] - center.y}px`;
  }

  /* Whether a box of the same step's values stands between two heights. */
  _between({ step }, above, below) {
    return this.heights.get(step).some((y) => y > above && y < below);
  }

  /* Whether an arrow goes down past other boxes of its column, to another or to the column's first loss. */
  _past({ source, target }) {
    const { x: x0, y: y0 } = this.centers.get(source.id);
    const { x: x1, y: y1 } = this.centers.get(target.id);
    if (source.kind !== "values" || y1 <= y0) return false;
    if (target.kind === "loss") return source.step === target.step && y1 === this.firstLoss && this._between(source, y0, y1);
    return x0 === x1 && this._between(source, y0, y1);
  }

  /* By source, how far from the middle of its column its arrows go down past other boxes. Sources that stand above
     each other share such a line only if one has ended where the other begins: else it would read as one arrow. */
  get tracks() {
    if (this.tracked) return this.tracked;
    const down = new Map(); // by source, how far its arrows go
    for (const arrow of this.lanes.arrows.filter((one) => this._past(one))) {
      down.set(arrow.source, Math.max(down.get(arrow.source) ?? 0, this.centers.get(arrow.target.id).y));
    }
    const ends = new Map(), numbers = new Map(); // by column, where the last arrow on each line ends; by source, its line
    for (const [source, end] of [...down].sort(([a], [b]) => this.centers.get(a.id).y - this.centers.get(b.id).y)) {
      const taken = ends.get(source.step) ?? ends.set(source.step, []).get(source.step);
      const free = taken.findIndex((last) => last < this.centers.get(source.id).y);
      const number = free < 0 ? taken.length : free;
      taken[number] = end;
      numbers.set(source.id, number);
    }
    const pitch = Math.min(TRACK.pitch, TRACK.room / Math.max(1, ...numbers.values()));
    return (this.tracked = new Map([...numbers].map(([id, number]) => [id, TRACK.first + pitch * number])));
  }

  /* The corners of an arrow, both ends included. */
  _route({ source, target, flow }) {
    const { x: x0, y: y0 } = this.centers.get(source.id);
    const { x: x1, y: y1 } = this.centers.get(target.id);
    const right = BOX.width / 2, up = BOX.height / 2;
    const aside = { kept: -8, asked: 8, value: 13 }[flow] ?? 0; // arrows of different flow stay apart
    if (source.kind === "values" && target.kind === "loss" && source.lane && x1 - x0 > PITCH) { // down past the weights before its step
      const before = x1 - ACROSS.loss - BETWEEN;
      return [[x0 + right, y0 + 12], [before, y0 + 12], [before, y1 + 13], [x1 - right, y1 + 13]]; // off what leads to the weights
    }
    if (source.kind === "values" && target.kind === "loss" && x1 - x0 > PITCH) { // below the losses of skipped steps
      const beside = x0 + right + 8, lane = y1 + up + CHANNEL;
      return [[x0 + right, y0 + 12], [beside, y0 + 12], [beside, lane], [x1 - TURN, lane], [x1 - TURN, y1 + up]];
    }
    if (this._past({ source, target })) {
      const track = x0 + this.tracks.get(source.id);
      const ends = target.kind === "loss" ? [[track, y1 - up]] : [[track, y1 - 12], [x1 + right, y1 - 12]];
      return [[x0 + right, y0 + 12], [track, y0 + 12], ...ends];
    }
    if (source.kind === "values" && target.kind === "loss" && y1 > y0 && this._between(source, y0, Infinity)) { // to a lower loss
      const beside = x0 + right + 8;
      return [[x0 + right, y0 + 12], [beside, y0 + 12], [beside, y1], [x1 - right, y1]];
    }
    if (source.kind === "fixed") {
      const heights = this.heights.get(target.step), past = heights.filter((y) => y > y0 && y < y1).length;
      const beside = x1 - DOWN.first - Math.min(DOWN.pitch, DOWN.room / heights.length) * past;
      return target.kind === "values" && this._between(target, y0, y1)
        ? [[beside, y0 + 15], [beside, y1 - 17], [x1 - right, y1 - 17]]
        : [[x1 + TURN, y0 + 15], [x1 + TURN, y1 - up]];
    }
    if (source.kind === "gradient" && target.kind === "values" && y1 < y0) {
      return [[x0 + right, y0], [x1 - TURN - aside, y0], [x1 - TURN - aside, y1 + up]];
    }
    if (source.kind === "values" && target.kind === "loss" && x1 > x0 && y1 > y0) {
      return [[x0 + TURN, y0 + up], [x0 + TURN, y1 + aside], [x1 - right, y1 + aside]];
    }
    if (source.kind === "loss" && target.kind === "gradient" && y1 < y0) {
      return [[x0, y0 - up], [x0, y1], [x1 - right, y1]];
    }
    const far = x1 - x0 > PITCH;
    if (source.kind === "values" && target.kind === "gradient" && x1 > x0) { // past the loss
      if (y1 > y0) return [[x0 + right, y0 + 12], [x1 - TURN, y0 + 12], [x1 - TURN, y1 - up]];
      return [[x0 + right, y0 - 12], [x1 - right - 12, y0 - 12], [x1 - right - 12, y1 + 9], [x1 - right, y1 + 9]];
    }
    if (source.kind === "values" && target.kind === "values" && (far || (x1 > x0 && y1 > y0))) { // above the boxes of its row
      const apart = flow === "kept" ? 5 : 13, lane = y0 - up - apart, begin = x0 + TURN + apart, before = x1 - right - 16 - aside / 2;
      return [[begin, y0 - up], [begin, lane], [before, lane], [before, y1 - 12 - aside / 2], [x1 - right, y1 - 12 - aside / 2]];
    }
    if (far && source.kind === "gradient") { // below them
      const lane = y0 + up + CHANNEL + aside / 2, before = x1 - TURN - aside;
      return [[x0 + TURN, y0 + up], [x0 + TURN, lane], [before, lane], [before, y1 + up]];
    }
    if (x0 === x1) return [[x0 + TURN + aside, y0 + Math.sign(y1 - y0) * up], [x1 + TURN + aside, y1 - Math.sign(y1 - y0) * up]];
    const side = Math.sign(x1 - x0) * right;
    return [[x0 + side, y0 + aside], [x1 - side, y1 + aside]];
  }
}

/* Corners as cytoscape wants them: how far along and how far beside the line between the ends. */
function bends(points) {
  const [ax, ay] = points[0];
  const [bx, by] = points.at(-1);
  const dx = bx - ax, dy = by - ay, length = Math.hypot(dx, dy);
  const inner = points.slice(1, -1);
  return {
    weights: inner.map(([x, y]) => ((x - ax) * dx + (y - ay) * dy) / length ** 2),
    distances: inner.map(([x, y]) => ((y - ay) * dx - (x - ax) * dy) / length),
  };
}
