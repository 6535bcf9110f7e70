"use strict";
/* A backward pass, stop by stop: where the gradient of a loss arrives, in the order of the recorded sweep, and which
   cuts stop it. */

const TRAVEL = 450; // milliseconds that a gradient takes along an arrow
const BADGE = { height: 18, letter: 8.2, rise: 4 };

Object.assign(Explorer.prototype, {
  /* By place and by cut, the elements that stand for them in what is shown. */
  standing() {
    const found = new Map();
    for (const { data: { id, box, number, place, arrow, edge } } of this.stock.elements) {
      const boxed = box && (box.kind === "loss" ? [box.names.get("loss")] : box.kind === "fixed" ? [] : box.places);
      const inner = number === undefined ? [] : this.tape.nodes[number].outputs.map((_, n) => [number, n]);
      const cuts = [...(arrow?.cuts ?? []), edge?.cut ?? []].flat();
      for (const key of [...(boxed ?? inner).map(keyOf), ...(place ? [keyOf(place)] : []), ...cuts]) this.tape._append(found, key, id);
    }
    return found;
  },

  /* The stops of the backward passes that are seen here; in the overview, of those that begin in this step. What is
     drawn at one place is one stop: what arrives there is complete with the last of its places. Cuts of weights and of
     states on one arrow are stops of their own. */
  halts() {
    this.where ??= this.standing();
    const here = this.tape.sweeps.filter(({ loss: [node] }) => !this.overview || this.tape.nodes[node].step === this.step);
    return here.flatMap((pass) => {
      const found = new Map();
      for (const stop of pass.stops) {
        for (const id of this.where.get(stop.place ? keyOf(stop.place) : stop.cut) ?? []) {
          const key = stop.place ? id : `${id} ${this.tape.kind(this.tape.cuts[stop.cut])}`;
          const stops = [...(found.get(key)?.stops ?? []), stop];
          found.delete(key); // to be the last
          found.set(key, { id, stops });
        }
      }
      const norm = (stops) => stops.length > 1 || this.tape.value(this.behind(stops[0])) === null;
      const nil = ({ place, cut }) => (place ? this.tape.flat(place) : this.tape.nil.cuts.has(cut));
      return [...found.values()].map(({ id, stops }) => ({ pass, id, stops, value: summed(stops), norm: norm(stops), nil: stops.every(nil) }));
    });
  },

  /* What a stop is at, or what is behind its cut. */
  behind({ place, cut }) {
    return place ?? [this.tape.cuts[cut].source, this.tape.cuts[cut].output];
  },

  /* Begin a backward pass, or end it. */
  pass() {
    if (this.run) return this.endPass();
    const halts = this.halts();
    if (!halts.length) return this.passless();
    this.choose(null);
    this.run = { halts, now: -1 };
    this.answer();
    at("graph").focus({ preventScroll: true });
    return this.advance(1);
  },

  /* Say why there is no backward pass to follow. */
  passless() {
    const where = this.overview ? `step ${this.step}` : "what is open";
    const steps = [...new Set(this.tape.sweeps.map(({ loss: [node] }) => this.tape.nodes[node].step))];
    const begun = steps.length ? `Backward passes began in the steps ${listed(steps, 6)}.` : "";
    at("details").replaceChildren(h("p", {}, `No backward pass began in ${where}. ${begun}`));
    this.answer();
  },

  endPass() {
    if (this.playing) this.play();
    this.land();
    this.run = null;
    this.cy.batch(() => this.unmark());
    this.describe();
    this.passControls();
  },

  passControls() {
    at("stops").hidden = !this.run;
    at("pass").setAttribute("aria-pressed", String(Boolean(this.run)));
    at("pass").disabled = !this.run && !this.halts().length;
    if (!this.run) return;
    const { halts, now } = this.run;
    at("stop").textContent = `stop ${now + 1} of ${halts.length}`;
    at("earlier").disabled = now === 0;
    at("later").disabled = now === halts.length - 1;
  },

  /* Go to the next stop, or to another: the gradient travels there from the stops before. */
  advance(by) {
    const { halts, now } = this.run;
    if (this.flight) { // whoever hurries on sees where the gradient had gone
      this.land();
      this.drawPass();
    }
    this.run.now = clamp(now + by, 0, halts.length - 1);
    if (this.run.now === now) return;
    this.bring(halts[this.run.now].id);
    this.describe();
    this.passControls();
    const ways = by === 1 && !this.calm ? this.ways() : [];
    if (ways.length) this.fly(ways);
    else this.drawPass();
  },

  /* The stops of this pass so far, and the last of them. */
  soFar() {
    const { halts, now } = this.run;
    return halts.slice(0, now + 1).filter((halt) => halt.pass === halts[now].pass);
  },

  /* Along which arrows the gradient comes to the stop: their corners, from where it comes, and how far; to the ✂. */
  ways() {
    const passed = new Set(this.soFar().map(({ id }) => id));
    const here = this.cy.getElementById(this.soFar().at(-1).id);
    if (here.isEdge()) return [[backwards(here), 0.5]];
    return here.outgoers("edge.kept").filter((edge) => passed.has(edge.target().id())).map((edge) => [backwards(edge), 1]);
  },

  fly(ways) {
    const tokens = this.cy.add(ways.map(([[from]], n) => ({ group: "nodes", data: { id: `token ${n}` }, position: { ...from }, classes: "token" })));
    const begun = performance.now();
    const flight = (this.flight = {});
    const frame = (time) => {
      if (this.flight !== flight) return;
      const share = clamp((time - begun) / TRAVEL, 0, 1);
      this.cy.batch(() => tokens.forEach((token, n) => void token.position(along(ways[n][0], share * ways[n][1]))));
      if (share < 1) requestAnimationFrame(frame);
      else {
        this.land();
        this.drawPass();
      }
    };
    requestAnimationFrame(frame);
  },

  /* Whatever travels is there. */
  land() {
    this.flight = null;
    this.cy.nodes(".token").remove();
  },

  unmark() {
    this.cy.nodes(".badge").remove();
    this.cy.edges(".stopped").forEach((edge) => void edge.data("label", edge.data("sign")).removeData("sign"));
    this.cy.elements().removeClass("path dim now arrived stopped");
  },

  /* Show what has arrived, and what was stopped. */
  drawPass() {
    const passed = this.soFar();
    const arrived = new Set(passed.map(({ id }) => id));
    this.cy.batch(() => {
      this.unmark();
      this.cy.elements(".box, edge").addClass("dim");
      for (const halt of passed) {
        const { id, value, stops } = halt;
        const element = this.cy.getElementById(id);
        if (!element.length) continue; // not in sight
        element.removeClass("dim");
        if (element.isEdge()) {
          if (!element.hasClass("stopped")) element.addClass("stopped").data("sign", element.data("label"));
          const [sign] = element.data("sign").split(" "), cuts = [...(element.data("arrow")?.cuts ?? [stops[0].cut])];
          const found = passed.filter((one) => one.id === id && one.value !== null).flatMap((one) => one.stops);
          element.data("label", `${sign} ${this.told(cuts, found)}`.trim());
        } else {
          element.addClass("arrived");
          element.outgoers("edge.kept").forEach((edge) => {
            if (arrived.has(edge.target().id())) edge.removeClass("dim").addClass("path");
          });
          if (value !== null) this.badge(element, this.amount(halt));
        }
      }
      this.cy.getElementById(passed.at(-1).id).addClass("now");
    });
  },

  /* What stands on an arrow whose cuts have stopped a gradient: the ghosts of the recorded sweep. */
  told(cuts, stops) {
    const found = stops.map(({ cut, value }) => [cut, numeric(value), this.tape.nil.cuts.has(cut)]);
    return this.tape.stopped(cuts, found, this.tape.alone(cuts, false));
  },

  /* A number at the upper left corner of a box. */
  badge(box, label) {
    const { x, y } = box.position();
    const letters = this.far ? this.layout.letters : LETTERS.size, larger = letters / LETTERS.size;
    const width = larger * (10 + BADGE.letter * label.length), height = larger * BADGE.height;
    const position = { x: x - box.data("width") / 2 + width / 2 - 8, y: y - box.data("height") / 2 - BADGE.rise };
    this.cy.add({ group: "nodes", data: { id: `badge ${box.id()}`, label, letters, width, height }, position, classes: "badge" });
  },

  /* Bring an element into sight; of an arrow, its middle. */
  bring(id) {
    const { x1, x2, y1, y2 } = this.stock.reaches.get(id);
    const half = this.stock.nodes.has(id) ? { x: (x2 - x1) / 2 + 20, y: (y2 - y1) / 2 + 20 } : { x: 60, y: 30 };
    const { clientWidth: width, clientHeight: height } = at("graph");
    const pan = this.cy.pan(), zoom = this.cy.zoom();
    const by = (middle, reach, from, room) => {
      const low = from + zoom * (middle - reach), high = from + zoom * (middle + reach);
      return Math.max(0, -low) - Math.max(0, high - room);
    };
    const moved = { x: by((x1 + x2) / 2, half.x, pan.x, width), y: by((y1 + y2) / 2, half.y, pan.y, height) };
    if (moved.x || moved.y) this.cy.stop().panBy(moved);
  },

  /* What the panel says of a backward pass. */
  telling() {
    const passed = this.soFar();
    const row = (halt, n) => h("li", n === passed.length - 1 ? { "aria-current": "step" } : {},
      h("span", {}, this.entry(halt)), h("b", {}, halt.value === null ? "–" : amount(halt)));
    const unknown = passed.some(({ value }) => value === null);
    return [
      h("h2", {}, `Backward pass of ${this.naming([{ place: passed[0].pass.loss }])}`),
      ...this.details.skipped(this.tape.nodes[passed[0].pass.loss[0]].step + 1),
      h("p", {}, this.sentence(passed.at(-1))),
      h("ol", { class: "scroll stops" }, ...passed.map(row)),
      unknown ? h("p", { class: "quiet" }, "To see the number at each stop, record with th.record(ghosts=True).") : "",
    ].filter(Boolean);
  },

  /* What some stops are at, or what is behind their cuts. */
  naming(stops) {
    return listed(stops.map((stop) => nameOfPlace(this.tape, this.lanes, this.behind(stop))));
  },

  entry({ stops }) {
    if (stops[0].place) return this.naming(stops);
    return `✂ ${stops.length > 1 ? `${stops.length} cuts` : `cut ${stops[0].cut}`} of ${this.naming(stops)}`;
  },

  /* What arrived at a box, and in which coordinate. */
  amount(halt) {
    return amount(halt) + (halt.norm ? "" : this.details.inside(halt.stops[0].place));
  },

  /* What happens at a stop. */
  sentence(halt) {
    const { pass, stops, value, norm, nil } = halt;
    const [{ place, cut }] = stops, one = stops.length === 1, loss = this.naming([{ place: pass.loss }]);
    if (!place) {
      const ghost = value === null ? "" : `; the ${norm ? "norm of the " : ""}ghost${one ? "" : "s"} is ${nil ? NOUGHT : short(value)}`;
      const behind = stops.some((stop) => this.tape.cuts[stop.cut].severed) ? "" : ` Without the cut${one ? "" : "s"} it would end here, too.`;
      return `${one ? `Cut ${cut} stops` : `${stops.length} cuts stop`} the gradient on its path to ${this.naming(stops)}${ghost}.${behind}`;
    }
    if (keyOf(place) === keyOf(pass.loss)) return `backward() begins at ${loss}${value === null ? "" : `, with ${short(value)}`}.`;
    const told = `The gradient of ${loss} arrives at ${this.naming(stops)}`;
    if (value === null) return `${told}.`;
    const meant = one && !nil ? this.tape.meant(place, value) : null;
    const plainly = meant === null ? "" : ` So ∂${loss}/∂${this.naming(stops)} is ${short(meant)}.`;
    return `${told}: ${this.amount(halt)}.${plainly}`;
  },
});

/* What arrived, as a number or a norm. */
const amount = ({ value, norm, nil }) => `${norm ? "norm " : ""}${nil ? NOUGHT : short(value)}`;

/* What arrived at several places, as one number or as a norm; null where it is not known. */
function summed(stops) {
  const values = stops.map(({ value }) => numeric(value));
  return values.includes(null) ? null : together(values);
}

/* The corners of an arrow, from its tip to where it begins: as the gradient goes. */
function backwards(edge) {
  return [edge.sourceEndpoint(), ...(edge.segmentPoints() ?? []), edge.targetEndpoint()].reverse();
}

/* A point on the way along some corners. */
function along(corners, share) {
  const lengths = corners.slice(1).map(({ x, y }, n) => Math.hypot(x - corners[n].x, y - corners[n].y));
  let left = share * lengths.reduce((sum, length) => sum + length, 0), n = 0;
  while (n < lengths.length - 1 && left > lengths[n]) left -= lengths[n++];
  const part = lengths[n] ? left / lengths[n] : 0, [a, b] = [corners[n], corners[n + 1]];
  return { x: a.x + part * (b.x - a.x), y: a.y + part * (b.y - a.y) };
}
