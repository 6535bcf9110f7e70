"use strict";
/* The lists of the panel: what a step kept alive, and its cuts, each with a switch. */

Object.assign(Details.prototype, {
  /* What a step kept alive: each node with the arrays that it keeps, and until when. */
  kept(step) {
    const { tape } = this, at = tape.steps ? step : 1, now = tape.alive.find((one) => one.step === at);
    const name = (place) => nameOfPlace(tape, this.lanes, place);
    const nodes = tape.nodes.filter((node) => node.number < tape.ends[at - 1] && (node.until ?? 0) >= at);
    if (!now || !nodes.length) return [h("li", { class: "quiet" }, "Nothing is kept.")];
    const until = (node) => (node.until >= tape.ends.length ? "still alive at the end" : node.until > at ? `until step ${node.until + 1}` : "until the next step");
    const rows = nodes.slice(0, 60).map((node) => {
      const names = [...new Set(node.saved.map(name))];
      const size = node.saved.reduce((sum, place) => sum + bytesOf(tape.output(place)), 0);
      return h("li", {}, h("span", {}, `${name([node.number, 0])}, ${until(node)}`), h("b", {}, amountOf(size)),
        h("small", {}, `keeps ${listed(names, 8) || "nothing"}`));
    });
    return [
      h("li", {}, h("span", {}, `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}; shared arrays count once`), h("b", {}, amountOf(now.bytes))),
      ...rows, ...(nodes.length > 60 ? [h("li", {}, `and ${nodes.length - 60} more`)] : []),
    ];
  },

  /* The cuts of a step, grouped by what was cut and why, with a switch for each group. */
  cuts(step) {
    const groups = new Map();
    for (const cut of this.tape.cuts) {
      if (cut.step !== step) continue;
      const place = [cut.source, cut.output], here = this.lanes.box(place);
      const id = here && here.kind !== "loss" ? here.id : keyOf(place); // what is cut inside a loss is not the loss
      const key = `${id} ${cut.reason} ${this.tape.kind(cut)}`; // a norm of several states says nothing of either
      if (!groups.has(key)) groups.set(key, { key, cuts: [], names: new Set() });
      groups.get(key).cuts.push(cut);
      groups.get(key).names.add(nameOfPlace(this.tape, this.lanes, place));
    }
    const stopping = ({ cuts }) => cuts.some((cut) => cut.severed);
    return [...groups.values()].sort((a, b) => stopping(b) - stopping(a)).map(({ key, cuts, names }) => {
      const row = this.toggle(cuts, `${numbered(cuts.map(numberOf))}, ${cuts[0].reason ?? "no reason given"}: ${listed([...names])}`, `${this.word}: ${this.ghosts(cuts)}`, stopping({ cuts }));
      return h("li", {}, row, cuts.length > 1 ? this.each(key, cuts) : "");
    });
  },

  /* A switch for each cut of a group, which stays open while cuts are switched. */
  each(key, cuts) {
    const turned = ({ target }) => (target.open ? this.unfolded.add(key) : this.unfolded.delete(key));
    return h("details", { open: this.unfolded.has(key), toggle: turned }, h("summary", {}, "each cut alone"),
      h("ul", { class: "cuts" }, ...cuts.map((cut) => h("li", {}, this.toggle([cut], this.cutLine(cut))))));
  },

  /* What gradients would be without some cuts, as far as it is known: how much arrives, and where. */
  arriving(cuts, stopping) {
    const line = (text) => h("small", { class: "arriving" }, text);
    if (!stopping) return [line("No gradient would change: the value had no graph.")];
    if (!this.tape.arrivals.length) return [line("To see how much arrives where, record with th.record(ghosts=True).")];
    const found = this.tape.arriving(cuts);
    if (!found.length) return [line("No gradient would change: none arrives here.")];
    const lines = found.slice(0, 3).map((one) => this.would(one, cuts));
    return found.length > 3 ? [...lines, line(`and ${found.length - 3} more gradients would change`)] : lines;
  },

  /* What a gradient would be without some cuts, or without any. one: as `Tape.arriving` gives it. */
  would({ place, value }, cuts) {
    const whole = this.tape.whole(place), old = numeric(this.tape.output(place).gradient);
    const which = whole ? `${WHOLLY}, ` : this.tape.alone(cuts.map((cut) => cut.number)) && "without this alone, ";
    const norm = this.tape.value(place) === null ? "the norm of " : "", inside = norm ? "" : this.inside(place);
    const told = (one) => (this.dropped(one) ? SKIPPED : short(one));
    const other = old === null ? "; with the cut none arrives" : `, not ${this.tape.flat(place) ? NOUGHT : told(old)}`;
    const text = `${which}${norm}${nameOfPlace(this.tape, this.lanes, place)}.grad would be ${whole?.[1] ? NOUGHT : told(whole?.[0] ?? value)}${inside}${whole ? " from all losses" : ""}${other}`;
    return h("small", { class: "arriving" }, text);
  },

  toggle(cuts, text, remark = "", stopping = true) {
    const numbers = cuts.map((cut) => cut.number);
    const off = numbers.every((number) => this.tape.without.has(number));
    const box = h("input", { type: "checkbox", checked: off, change: (event) => this.flip(numbers, event.target.checked) });
    box.indeterminate = !off && numbers.some((number) => this.tape.without.has(number));
    const lines = [h("small", { class: stopping ? "" : "quiet" }, remark), ...(off ? this.arriving(cuts, stopping) : [])];
    return h("label", {}, box, h("span", {}, text, ...lines.filter((line) => line.textContent)));
  },
});

/* How much memory a value takes. */
const bytesOf = ({ shape, dtype }) => shape.reduce((product, length) => product * length, Number(dtype.match(/\d+/)?.[0] ?? 8) / 8);

/* So many bytes, in few digits. */
function amountOf(size) {
  const unit = size < 1e3 ? 0 : size < 1e6 ? 1 : size < 1e9 ? 2 : 3;
  return `${short(size / 1000 ** unit)} ${["B", "kB", "MB", "GB"][unit]}`;
}
