"use strict";
/* What the page says about a box, an arrow or an operation. Each function gives HTML elements. */

class Details {
  /* flip: called with the numbers of cuts and whether they are to be switched off. */
  constructor(tape, flip) {
    this.tape = tape;
    this.flip = flip;
    this.unfolded = new Set(); // the groups of cuts whose single switches are shown
    this.lanes = null; // set whenever the overview is read anew
  }

  /* A box of the overview. */
  box(box, paths) {
    const kind = { values: box.lane ? `hyperparameters of level ${box.lane - 1}` : "weights", gradient: "gradient", loss: "loss", fixed: "fixed hyperparameters" }[box.kind];
    const places = box.kind === "loss" ? [box.names.get("loss")] : box.places;
    const rules = box.kind === "values" ? this.rules([...new Set(places.map(([node]) => node))]) : [];
    const facts = places.length === 1 ? this.facts(places[0]) : this.table(places);
    return [h("h2", {}, nameOf(box)), h("p", { class: "kind" }, kind), ...rules, ...(paths ? this.paths(paths) : []), ...facts];
  }

  /* The equations of some operations that are fused, with their cuts. */
  rules(numbers) {
    const texts = numbers.flatMap((number) => equations(this.tape, number));
    return texts.slice(0, 4).map((text) => h("p", { class: "rule" }, ...text.split(/(✂\uFE0E\??)/).map((part) => (part.startsWith("✂") ? h("b", {}, part) : part))));
  }

  /* One place: value, shape, gradient, ghost, source line. */
  facts(place) {
    const { tape } = this;
    const node = tape.nodes[place[0]];
    const output = tape.output(place);
    const cuts = tape.ended.get(keyOf(place)) ?? [];
    const inner = numeric(output.value);
    const meant = tape.value(place);
    const rows = [
      meant !== null ? ["value", tape.told(place, meant)] : ["norm", tape.told(place, numeric(output.norm))],
      meant !== inner && !tape.skips(place, meant) && [within(tape.coordinate(place), called(output.label.name, output.label.level + 1)), short(inner)],
      output.label?.range && ["range", `${short(numeric(output.label.range[0]))} to ${short(numeric(output.label.range[1]))}`],
      ["shape", `${sizeOf(output)} ${output.dtype}`],
      ["gradient", this.gradient(place)],
      ...this.meant(place),
      this.tape.whole(place) && [WHOLLY, this.whole(place)],
      cuts.length && [`${tape.free ? "past" : "ghost at"} ✂ ${numbered(cuts.map(numberOf))}`, this.ghosts(cuts)],
      ["made by", `${node.op ?? node.kind}${node.sweep ? ", in a backward pass" : ""}`],
      node.seconds !== null && ["took", this.took(node)],
      ["source", `${shorten(node.file)}:${node.line}`],
      ["step", String(node.step)],
    ];
    return [h("dl", {}, ...rows.filter(Boolean).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]))];
  }

  /* How long an operation took, and whether that is what it takes: the first call of a kernel compiles or loads it. */
  took(node) {
    const calls = this.tape.like(node), others = calls.filter((other) => other !== node);
    const told = `${node.op}: ${durationOf(node.seconds)}`;
    if (!others.length) return `${told}, called once: its kernel may have been compiled or loaded in this time`;
    const least = durationOf(Math.min(...others.map(({ seconds }) => seconds)));
    const known = `the least of ${others.length} other ${others.length === 1 ? "call" : "calls"}`;
    const cold = node === calls[0] && others.every(({ seconds }) => node.seconds > COLD * seconds);
    return cold
      ? `${told}, cold: the first call compiles or loads its kernel. Warm it took ${least}, ${known}`
      : `${told}, warm; ${known} took ${least}`;
  }

  gradient(place) {
    const deposited = this.tape.gradients.get(keyOf(place)) ?? [];
    const known = numeric(this.tape.output(place).gradient);
    const inside = this.inside(place);
    const norm = this.tape.value(place) === null ? "norm " : "";
    if (this.tape.flat(place)) return NOUGHT + inside;
    if (Number.isFinite(known)) return norm + short(known) + inside;
    const told = ({ number, outputs: [{ value }] }) => (value === null ? this.tape.norm([number, 0]) : this.tape.told([number, 0], numeric(value)));
    if (deposited.length) return deposited.map((node) => `${told(node)}${told(node) === SKIPPED ? "" : inside}`).join("; ");
    if (known !== null) return norm + short(known);
    return "no gradient arrived";
  }

  /* What a gradient is where no cut is made, from all losses. place: of the value; it is known there. */
  whole(place) {
    const [value, nil] = this.tape.whole(place);
    return `${this.tape.value(place) === null ? "norm " : ""}${nil ? NOUGHT : short(value)}${this.inside(place)}`;
  }

  /* In which coordinate a gradient is, if that is another than the value's own. */
  inside(place) {
    const label = this.tape.output(place).label;
    return label?.coordinate && label.role !== "gradient" ? ` in ${word(label.coordinate)}` : "";
  }

  /* The gradient with respect to the value itself, if its coordinate is another. place: of the value or the gradient. */
  meant(place) {
    const { of } = this.tape.nodes[place[0]];
    const gradient = of ? this.tape.output(place) : this.tape.gradients.get(keyOf(place))?.at(-1).outputs[0];
    const meant = gradient ? this.tape.meant(of ?? place, numeric(gradient.value)) : null;
    const label = this.tape.output(of ?? place).label, nil = of ? this.tape.nil.gradients.has(place[0]) : this.tape.flat(place);
    return meant === null || !Number.isFinite(meant) ? [] : [[`∂loss/∂${called(label.name, label.level + 1)}`, nil ? NOUGHT : short(meant)]];
  }

  ghosts(cuts) {
    const found = this.tape.ghosts(cuts);
    const behind = cuts.some((cut) => cut.severed);
    if (found.length) return this.stopped(found, this.inside([cuts[0].source, cuts[0].output])) + (behind ? "" : "; the value had no graph");
    if (!behind) return "none: the value had no graph";
    if (!this.tape.haunted) return "not recorded";
    const first = this.tape.first(cuts);
    if (first.length) return `none: ${numbered(first.map(numberOf))} ${first.length > 1 ? "stop" : "stops"} the gradient first`;
    return `none: ${this.tape.needed(cuts) ? "no backward pass reached it" : "no later loss depends on the value"}`;
  }

  /* What stands before what comes to a cut. */
  get word() {
    return this.tape.free ? "past it" : "ghost";
  }

  /* What cuts stopped. found: as `Tape.ghosts` gives it. */
  stopped(found, inside = "") {
    if (found.some(([, value]) => this.dropped(value))) return SKIPPED;
    const { source, output } = this.tape.cuts[found[0][0]], norm = found.length > 1 || this.tape.value([source, output]) === null;
    return (norm ? "norm " : "") + this.tape.amount(found) + inside + this.tape.alone(found.map(([cut]) => cut));
  }

  /* Whether a number comes from a skipped step: then it is not finite. */
  dropped(value) {
    return this.tape.skipped.length > 0 && !Number.isFinite(value);
  }

  /* Of a step that was skipped, why numbers are not finite. */
  skipped(step) {
    return this.tape.skipped.includes(step) ? [h("p", {}, `Step ${step} was ${SKIPPED}: its gradient was not finite.`)] : [];
  }

  /* Several places, a row each. */
  table(places) {
    const rows = places.slice(0, 60).map((place) => {
      const value = this.tape.value(place);
      const cuts = this.tape.ended.get(keyOf(place)) ?? [];
      const ghosts = this.tape.ghosts(cuts);
      const texts = [
        value === null ? `${this.tape.norm(place)} ${sizeOf(this.tape.output(place))}` : this.tape.told(place, value),
        this.gradient(place).replace("no gradient arrived", "–"), ghosts.length ? `${this.stopped(ghosts)} at ${numbered(cuts.map(numberOf))}` : "–",
      ];
      const name = nameOfPlace(this.tape, this.lanes, place);
      return h("tr", {}, h("th", { scope: "row" }, name), ...texts.map((text) => h("td", {}, text)));
    });
    const heads = ["name", "value", "gradient", this.word].map((text) => h("th", { scope: "col" }, text));
    const node = this.tape.nodes[places[0][0]];
    return [
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows))),
      places.length > 60 ? h("p", {}, `and ${places.length - 60} more`) : null,
      h("p", { class: "quiet" }, `made by ${node.op ?? node.kind} in ${shorten(node.file)}:${node.line}`),
    ].filter(Boolean);
  }

  /* What the paths from the losses contribute, or what stops the gradient. */
  paths(paths) {
    if (paths.box.kind === "loss") return [h("p", {}, "Its gradient flows along the highlighted edges.")];
    const name = (place) => nameOfPlace(this.tape, this.lanes, place);
    if (paths.losses.length) {
      const { parts, crossed } = paths, past = paths.losses.filter((loss) => !paths.kept.includes(loss));
      return [
        ...this.freed(paths),
        ...(paths.kept.length ? [h("p", {}, `The gradient of ${listed(paths.kept.map(name))} arrives along the highlighted edges.`)] : []),
        ...parts.flatMap((path) => this.path(path, crossed.length > 0)),
        ...(parts.length ? [] : [h("p", { class: "quiet" }, this.unsplit(paths))]),
        ...(past.length ? [h("p", {}, `The gradient of ${listed(past.map(name))} would arrive past a cut that is switched off.`)] : []),
        ...this.asked(paths),
      ];
    }
    if (!paths.targets.length) return [h("p", {}, "No backward pass has left a gradient yet, so the step reads zero.")];
    if (paths.barriers.length) {
      const where = paths.barriers.slice(0, 6).map((cut) => h("li", {}, this.cutLine(cut)));
      return [h("p", {}, "No gradient arrives. Every path ends at a cut:"), h("ul", {}, ...where)];
    }
    return [h("p", {}, "No gradient arrives: no loss depends on it.")];
  }

  unsplit(paths) {
    const tuned = paths.targets.some((place) => this.tape.output(place).label?.role === "hyperparameter");
    return tuned && !this.tape.paths?.length
      ? "To see what each path contributes, record with th.record(ghosts=True)."
      : "";
  }

  /* What came along which path. asked: whether a cut on a path is switched off, without which it was not recorded. */
  path(path, asked) {
    const largest = Math.max(0, ...path.parts.map((part) => Math.abs(numeric(part.value))));
    const total = numeric(path.total);
    const name = (place) => nameOfPlace(this.tape, this.lanes, place);
    if (this.tape.skips(path.loss, total)) return this.skipped(this.tape.nodes[path.loss[0]].step + 1);
    const nil = this.tape.flat(path.target), meant = nil ? null : this.tape.meant(path.target, total);
    const title = `∂${name(path.loss)}/∂${within(this.tape.coordinate(path.target), name(path.target))} = ${nil ? NOUGHT : short(total)}`
      + (meant === null ? "" : `; ∂${name(path.loss)}/∂${name(path.target)} = ${short(meant)}`) + (asked ? ", with every cut made" : "");
    if (largest === 0) return [h("h3", {}, title), h("p", {}, `${path.parts.length} paths lead here; each contributes 0.`)];
    const parts = [...path.parts].sort((a, b) => Math.abs(numeric(b.value)) - Math.abs(numeric(a.value)));
    const whole = Math.max(largest, Math.abs(total));
    const rows = parts.map((part) => {
      const between = part.through.filter((place) => ![path.loss, path.target].some((end) => keyOf(end) === keyOf(place)));
      const value = numeric(part.value);
      const percent = total && !nil ? `, ${short(Math.round((100 * value) / total))} %` : "";
      const all = between.map(name);
      const names = all.length > 3 ? [...all.slice(0, 2), "…", all.at(-1)] : all;
      const text = `${names.length ? `through ${names.join(" ← ")}` : "directly"}${part.ways > 1 ? `, ${part.ways} paths` : ""}`;
      return h("li", { title: all.join(" ← "), class: value < 0 ? "part minus" : "part" }, h("span", {}, text), h("b", {}, `${short(value)}${percent}`),
        h("i", { class: "track" }, h("i", { style: `width: ${((100 * Math.abs(value)) / whole).toFixed(1)}%` })));
    });
    const scale = whole > Math.abs(total) ? `${short(whole)}, the largest contribution in size` : "100 %";
    return [h("h3", {}, title), h("ul", { class: "parts scroll" }, ...rows), h("p", { class: "quiet" }, `A full bar is ${scale}.`)];
  }

  /* Where no cut is made, what would arrive. */
  freed({ targets }) {
    return targets.filter((place) => this.tape.whole(place)).map((place) => h("p", {}, this.would({ place }, [])));
  }

  /* The cuts that are switched off and on the path: what would come through them. */
  asked({ crossed, targets }) {
    if (!crossed.length || this.tape.free) return [];
    const keys = new Set(targets.map(keyOf)), here = ({ place }) => keys.has(keyOf(place));
    const would = (cut) => this.tape.arriving([cut]).filter(here).map((one) => this.would(one, [cut]));
    return [h("p", {}, "Without a cut that is switched off its ghost arrives, too:"),
      h("ul", { class: "cuts" }, ...crossed.slice(0, 6).map((cut) => h("li", {}, this.cutLine(cut), ...would(cut)))),
      crossed.length > 6 ? h("p", {}, `and ${crossed.length - 6} more cuts`) : ""].filter(Boolean);
  }

  cutLine(cut) {
    return `✂ cut ${cut.number}, ${cut.reason ?? "no reason given"}, of ${nameOfPlace(this.tape, this.lanes, [cut.source, cut.output])}, ${shorten(cut.file)}:${cut.line}; ${this.word}: ${this.ghosts([cut])}`;
  }

  /* An arrow, with its cuts, and a switch for each where it can be reached. */
  arrow(arrow, switches) {
    const cuts = [...arrow.cuts].map((number) => this.tape.cuts[number]);
    const row = (cut) => (switches ? this.toggle([cut], this.cutLine(cut)) : this.cutLine(cut));
    return [
      h("h2", {}, `${nameOf(arrow.source)} → ${nameOf(arrow.target)}`),
      h("p", { class: "kind" }, SAYING[this.tape.look(arrow.flow, [...arrow.cuts])]),
      h("ul", { class: "cuts" }, ...cuts.slice(0, switches ? 60 : 4).map((cut) => h("li", {}, row(cut)))),
      cuts.length > 4 && !switches ? h("p", {}, `and ${numbered(cuts.slice(4).map(numberOf))}`) : "",
    ].filter(Boolean);
  }

  /* A reading inside an opened box. */
  wire(edge, flow) {
    if (!edge) return [h("p", {}, "The fused operation reads this value.")];
    const cut = edge.cut === null ? [] : [h("p", {}, this.cutLine(this.tape.cuts[edge.cut]))];
    return [h("h2", {}, nameOfPlace(this.tape, this.lanes, [edge.source, edge.output])), h("p", { class: "kind" }, SAYING[this.tape.look(flow, edge.cut === null ? [] : [edge.cut])]), ...cut];
  }

  /* An operation or a value inside an opened box. */
  inner(data) {
    if (data.line) {
      return [h("h2", {}, data.line.name.replace("\n", " ")), h("p", { class: "kind" }, "One kernel computes it and does not store it."), h("p", {}, `It reads ${data.line.reads} ${data.line.reads === 1 ? "value" : "values"}.`)];
    }
    const place = data.number === undefined ? data.place : [data.number, 0];
    if (!place) return [h("h2", {}, data.label)];
    const node = this.tape.nodes[place[0]];
    const outputs = data.number === undefined || node.outputs.length === 1 ? this.facts(place) : this.table(node.outputs.map((_, n) => [place[0], n]));
    const name = data.number === undefined ? nameOfPlace(this.tape, this.lanes, place) : node.op ?? nameOfPlace(this.tape, this.lanes, place);
    return [h("h2", {}, name), node.inside !== null ? h("p", { class: "kind" }, "Fused: one kernel computes it. Enter or a double click opens it.") : "", ...outputs].filter(Boolean);
  }
}

const WHOLLY = "without any cut"; // what gradients are then is of all losses together
const FEW_CUTS = 3; // so many are named one by one
const COLD = 5; // a first call that took so many times as long as others was cold

const numberOf = ({ number }) => number;

/* Cuts by their numbers, as pictures name them: the first and the last of many, and how many they are if others are between. */
function numbered(numbers) {
  const many = numbers.length, first = Math.min(...numbers), last = Math.max(...numbers);
  if (many <= FEW_CUTS) return `${many > 1 ? "cuts" : "cut"} ${[...numbers].sort((a, b) => a - b).join(", ")}`;
  return `${many > last - first ? "" : `${many} of the `}cuts ${first} … ${last}`;
}

/* A time in two digits. */
function durationOf(seconds) {
  const [size, unit] = seconds < 1e-4 ? [1e6, "µs"] : seconds < 0.1 ? [1e3, "ms"] : [1, "s"];
  return `${shortest(seconds * size, 2)} ${unit}`;
}

/* What arrows mean; the legend has what stands before a colon. */
const SAYING = {
  kept: "kept: the gradient flows back along it",
  cut: "cut by detach(): the value passes, the gradient stops",
  idle: "cut, no effect: the gradient would end here without the cut, too",
  asked: "without its cut: the gradient would flow back",
  value: "no gradient: a constant, or none was recorded",
  backward: "into .grad: backward() leaves a gradient there",
  gate: "gate: the value passes, the gradient of this loss stops",
};
