"use strict";
/* The page: a step, a choice, and what is open; everything else is drawn from these. */

const MOVE = 250; // milliseconds that a move of the view takes
const FEW = 6; // a lane with so many names shows each in a row of its own
const LEAST = 0.82; // how far away the first view is where the rest is a scroll away: letters of 11 pixels
const NEAR = LETTERS.least / LETTERS.size; // how far away boxes have their usual letters, and what was opened is seen whole, at most

const FREE = "No cut is made now. The number at a ✂? is what comes past it, from all losses together.";

class Explorer {
  constructor(data) {
    this.tape = new Tape(data);
    this.apart = new Map(); // by lane, what the reader chose
    this.open = []; // what has been opened, the outermost first
    this.details = new Details(this.tape, (cuts, off) => this.flip(cuts, off));
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.read();
    this.cy = cytoscape({
      container: at("graph"), style: look(), elements: [], minZoom: 0.05, maxZoom: 4,
      boxSelectionEnabled: false, autounselectify: true, pixelRatio: "auto", hideEdgesOnViewport: false,
    });
    this.curves = new Curves(at("curves"), this.tape.curves, this.tape.steps, (step) => this.go(step));
    this.step = Math.min(1, this.tape.steps);
    this.listen();
    this.show();
    this.go(this.step, false);
  }

  /* Read the overview from the recording. */
  read() {
    if (!this.room) this.few = fewNames(this.tape, (this.room = at("graph").clientHeight) / (LEAST * ROW.pitch));
    this.lanes = new Lanes(this.tape, (lane) => this.apart.get(lane) ?? this.few.has(lane));
    this.layout = this.lanes.any ? new Layout(this.lanes) : null;
    this.details.lanes = this.lanes;
  }

  get overview() {
    return !this.open.length && this.layout !== null;
  }

  /* Show what is open, from where its reading begins, or as it was last seen. */
  show(view = null) {
    const { box, fused } = this.open.at(-1) ?? {};
    const inner = () => (fused === undefined ? operations(this.tape, this.lanes, box) : lines(this.tape, fused));
    this.cy.stop().elements().remove();
    this.stock = null; // what was shown is not fetched again
    at("stage").classList.toggle("overview", this.overview);
    this.cy.resize();
    this.stock = new Stock(this.cy, this.overview ? this.layout.elements() : arrange(inner()));
    this.chosen = this.run = this.where = null;
    this.drawTrail();
    this.drawSides();
    if (view) this.cy.viewport(view);
    else if (this.overview) this.home();
    else this.within();
    this.fetch();
    this.mark();
    this.describe();
    this.passControls();
  }

  /* Make what has come into sight, and let it look as the rest does. */
  fetch() {
    const added = this.stock.fetch();
    if (!added.length) return;
    if (this.far) added.addClass("far");
    this.cy.getElementById(`band ${this.step}`).addClass("current");
    if (this.chosen && this.paths) this.highlight(added);
    if (this.run) this.drawPass();
  }

  /* From far away, boxes have larger letters. */
  sharpen() {
    const far = this.overview && this.cy.zoom() < NEAR - 0.001;
    if (far === this.far) return;
    this.far = far;
    this.cy.elements().toggleClass("far", far);
    this.tellBars();
    if (this.run) this.drawPass();
  }

  /* Where the reader begins: two steps wide, all lanes in sight; at the top, where they would be too small to read. */
  home() {
    const { clientWidth: width, clientHeight: height } = at("graph");
    const { y1, y2 } = this.layout.span, all = (height - 8) / (y2 - y1), wide = clamp(width / (2 * PITCH), LEAST, 1.1);
    const zoom = all < NEAR ? wide : Math.min(wide, all);
    this.cy.viewport({ zoom, pan: { x: 0, y: Math.max(4, (height - (y2 - y1) * zoom) / 2) - y1 * zoom } });
    this.follow(false);
  }

  /* Where the reader begins in what was opened: all of it, or its first lines if that is too much to read. */
  within() {
    const { x1, x2, y1, y2 } = this.stock.bounds;
    const { clientWidth: width, clientHeight: height } = at("graph");
    const all = Math.min((width - 60) / (x2 - x1), (height - 60) / (y2 - y1), 1.2);
    const pan = all < NEAR
      ? { x: 30 - x1 * LEAST, y: 30 - y1 * LEAST }
      : { x: (width - (x1 + x2) * all) / 2, y: (height - (y1 + y2) * all) / 2 };
    this.cy.viewport({ zoom: all < NEAR ? LEAST : all, pan });
  }

  /* Go to the step of what was clicked. */
  visit(element) {
    const { box, arrow } = element.data();
    const step = (box ?? arrow?.target)?.step ?? this.step;
    if (this.overview && step !== this.step) this.go(step);
  }

  /* Go to a step. */
  go(step, moving = true) {
    const passing = this.run && this.overview;
    if (passing) this.endPass();
    this.step = clamp(step, 0, this.tape.steps);
    at("slider").value = this.step;
    at("where").textContent = `step ${this.step} of ${this.tape.steps}`;
    this.mark();
    this.curves.mark(this.step);
    if (!this.chosen) this.describe();
    if (this.overview) this.follow(moving);
    if (passing) this.pass();
    else this.passControls();
  }

  /* Mark the step in the graph, and list its cuts. */
  mark() {
    this.cy.nodes(".current").removeClass("current");
    this.cy.getElementById(`band ${this.step}`).addClass("current");
    this.tellBars();
    for (const label of at("steps").children) label.classList.toggle("current", Number(label.dataset.step) === this.step);
    at("kept").replaceChildren(...this.details.kept(this.step));
    at("cuts").replaceChildren(...this.details.cuts(this.step));
    if (!at("cuts").children.length) at("cuts").append(h("li", { class: "quiet" }, "This step made no cut."));
    const cuts = this.tape.cuts.filter((cut) => cut.step === this.step).length;
    at("tabs").querySelector("[aria-controls=cutting]").textContent = `${cuts} ${cuts === 1 ? "cut" : "cuts"} ✂`;
  }

  /* Bring the step's column into view, with as many whole steps before it as after it, or one more. Nothing is before
     the first step; the last one stands at the end. */
  follow(moving) {
    const zoom = this.cy.zoom();
    const room = at("graph").clientWidth;
    const whole = Math.max(1, Math.floor(room / (PITCH * zoom) + 0.01)); // steps in sight
    const { span: reach, steps } = this.layout;
    const first = Math.max(steps[0], Math.min(this.step - Math.floor(whole / 2), steps.at(-1) - whole + 1));
    const pan = { x: (BETWEEN - this.layout.column(first)) * zoom, y: this.cy.pan().y };
    if ((reach.x2 - reach.x1) * zoom < room) pan.x = (room - (reach.x2 - reach.x1) * zoom) / 2 - reach.x1 * zoom;
    this.cy.stop();
    if (moving && !this.calm) this.cy.animate({ pan, duration: MOVE, easing: "ease-in-out" });
    else this.cy.pan(pan);
  }

  /* Choose a box, an arrow or an operation: say what it is, and show the gradient's paths. */
  choose(element) {
    if (this.run) this.endPass();
    this.cy.batch(() => {
      this.cy.elements().removeClass("chosen path barrier dim");
      this.chosen = element?.length ? element : null;
      if (!this.chosen) return;
      this.chosen.addClass("chosen");
      const box = this.chosen.data("box");
      this.paths = box && this.overview && box.kind !== "fixed" ? new Paths(this.tape, this.lanes, box) : null;
      if (this.paths) this.highlight(this.cy.elements());
    });
    this.describe();
  }

  /* Make the paths stand out among some elements, and the rest stand back. */
  highlight(elements) {
    elements.forEach((element) => {
      const { box, arrow } = element.data();
      if (arrow) element.addClass(this.paths.along(arrow) ? "path" : this.paths.stops(arrow) ? "barrier" : "dim");
      else if (box) element.addClass(this.paths.passed(box) ? "path" : "dim");
    });
  }

  describe() {
    at("details").replaceChildren(...(this.run ? this.telling() : this.chosen ? this.saying(this.chosen, true) : this.greeting()));
    at("details").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    if (this.chosen && this.openable(this.chosen)) {
      at("details").append(h("button", { type: "button", id: "open", click: () => this.enter(this.chosen) }, "open (Enter)"));
    }
  }

  /* Show what is said of a choice. */
  answer() {
    this.tab("details");
    at("details").scrollTop = 0;
  }

  /* What there is to say about an element; at length if it was chosen. */
  saying(element, full) {
    const { box, arrow, edge } = element.data();
    if (box) return this.details.box(box, full ? this.paths : null);
    if (arrow) return this.details.arrow(arrow, full);
    return element.isEdge() ? this.details.wire(edge, edge ? this.tape.flow(edge) : "plain") : this.details.inner(element.data());
  }

  greeting() {
    const { box } = this.open[0] ?? {};
    return this.overview
      ? [...(this.tape.free ? [h("p", {}, FREE)] : []), ...this.rules(), h("p", {}, this.guide())]
      : [...(box ? this.details.skipped(box.kind === "values" ? box.step : box.step + 1) : []), ...this.details.rules([this.open.at(-1)?.fused].filter((number) => number !== undefined)), h("p", {}, "Each box is an operation. Gradients flow back along blue edges. A box with a double border is fused: double-click it to open it.")];
  }

  /* The rules by which the step moves the lowest hyperparameters and the weights; a click opens one. */
  rules() {
    const boxes = [...this.lanes.boxes.values()].filter((box) => box.kind === "values" && box.step === this.step);
    return [1, 0].map((lane) => boxes.find((box) => box.lane === lane)).filter(Boolean).flatMap((box) => {
      const [rule] = this.details.rules([box.places[0][0]]);
      const open = () => this.enter(this.cy.getElementById(box.id));
      return rule ? [h("button", { type: "button", class: "rules", title: "open it", click: open }, rule)] : [];
    });
  }

  openable(element) {
    const { box, number } = element.data();
    if (box) return box.kind !== "fixed" && box.places.some(([node]) => this.tape.into[node].length);
    return number !== undefined && this.tape.nodes[number].inside !== null && this.open.at(-1)?.fused === undefined;
  }

  /* Open a box or a fused operation. A box that is one fused operation opens into its lines. */
  enter(element) {
    if (!element || !this.openable(element)) return;
    const { box, number } = element.data();
    if (this.overview) this.before = { zoom: this.cy.zoom(), pan: { ...this.cy.pan() } };
    if (box) {
      this.open.push({ box, name: nameOf(box) });
      const nodes = new Set(box.places.map(([node]) => node));
      const [only] = nodes;
      if (nodes.size === 1 && this.tape.nodes[only].inside !== null) this.open.push({ fused: only, name: this.tape.nodes[only].op });
    } else this.open.push({ fused: number, name: this.tape.nodes[number].op });
    this.show();
    this.answer();
  }

  /* Go back to the first `depth` things that are open. */
  leave(depth) {
    const from = this.open[depth];
    this.open.length = depth;
    this.show(this.overview ? this.before : null);
    const id = from?.box?.id ?? (from?.fused !== undefined ? `n${from.fused}` : "");
    this.choose(this.cy.getElementById(id));
    this.answer();
  }

  escape() {
    if (this.run) this.endPass();
    else if (this.open.length) this.leave(this.open.length - 1);
    else this.choose(null);
  }

  /* Switch cuts off, or on again. */
  flip(cuts, off) {
    for (const cut of cuts) off ? this.tape.without.add(cut) : this.tape.without.delete(cut);
    at("uncut").checked = this.tape.cuts.length > 0 && this.tape.without.size === this.tape.cuts.length;
    this.redraw();
  }

  redraw(view = { zoom: this.cy.zoom(), pan: { ...this.cy.pan() } }) {
    const id = this.chosen?.id();
    const focused = document.activeElement?.closest("#cuts") ? [...at("cuts").querySelectorAll("input")].indexOf(document.activeElement) : -1;
    this.read();
    this.open.forEach((level) => { if (level.box) level.box = this.lanes.boxes.get(level.box.id) ?? level.box; });
    this.show(view);
    this.choose(id ? this.cy.getElementById(id) : null);
    at("cuts").querySelectorAll("input")[focused]?.focus();
  }

  toggleLane(lane) {
    this.apart.set(lane, !this.lanes.apart(lane));
    this.open = [];
    this.redraw(null);
    document.querySelector(`[data-lane="${lane}"] button`)?.focus();
  }

  theme(name) {
    document.documentElement.dataset.theme = name;
    this.cy.style(look());
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/* The lanes that begin with a row for each of their few names: the smallest, as long as the first view has room. */
function fewNames(tape, room) {
  const sizes = [...new Lanes(tape, () => true).lanes].map(([lane, { names }]) => [lane, Math.max(1, names.size)]);
  const found = new Set();
  let rows = sizes.length;
  for (const [lane, size] of sizes.sort((a, b) => a[1] - b[1] || a[0] - b[0])) {
    rows += size - 1;
    if (size <= FEW && rows <= room) found.add(lane);
  }
  return found;
}
