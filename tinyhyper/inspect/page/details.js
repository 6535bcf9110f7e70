"use strict";
/* What the page says about a box, an arrow or an operation. Each function gives HTML elements. */

class Details {
  /* flip: called with the numbers of cuts and whether they are to be switched off. */
  constructor(tape, flip) {
    this.tape = tape;
    this.flip = flip;
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
    const texts = numbers.flatMap((number) => equations(this.tape, this.lanes, number));
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
      cuts.length && ["ghost at ✂", this.ghosts(cuts)],
      ["made by", `${node.op ?? node.kind}${node.sweep ? ", in a backward pass" : ""}`],
      node.seconds !== null && ["took", `${short(node.seconds * 1e6)} µs`],
      ["source", `${shorten(node.file)}:${node.line}`],
      ["step", String(node.step)],
    ];
    return [h("dl", {}, ...rows.filter(Boolean).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]))];
  }

  gradient(place) {
    const deposited = this.tape.gradients.get(keyOf(place)) ?? [];
    const known = numeric(this.tape.output(place).gradient);
    const inside = this.inside(place);
    if (known !== null && known !== undefined && Number.isFinite(known)) return short(known) + inside;
    const told = ({ number, outputs: [output] }) => this.tape.told([number, 0], numeric(output.value ?? output.norm));
    if (deposited.length) return deposited.map((node) => `${told(node)}${told(node) === SKIPPED ? "" : inside}`).join("; ");
    if (known !== null && known !== undefined) return short(known);
    return "no gradient arrived";
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
    const label = this.tape.output(of ?? place).label;
    return meant === null || !Number.isFinite(meant) ? [] : [[`∂loss/∂${called(label.name, label.level + 1)}`, short(meant)]];
  }

  ghosts(cuts) {
    const ghost = this.tape.ghost(cuts);
    const behind = cuts.some((cut) => cut.severed);
    const inside = ghost === null ? "" : this.inside([cuts[0].source, cuts[0].output]);
    if (ghost !== null) return this.stopped(ghost, inside) + (behind ? "" : "; the value had no graph");
    if (!behind) return "none: the value had no graph";
    return this.tape.haunted ? "none: no later loss depends on the value" : "not recorded";
  }

  /* What cuts stopped; what came from a skipped step was not finite. */
  stopped(ghost, inside = "") {
    return this.tape.skipped.length && !Number.isFinite(ghost) ? SKIPPED : short(ghost) + inside;
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
      const ghost = this.tape.ghost(cuts);
      const texts = [
        value === null ? `${this.tape.told(place, numeric(this.tape.output(place).norm))} ${sizeOf(this.tape.output(place))}` : this.tape.told(place, value),
        this.gradient(place).replace("no gradient arrived", "–"), ghost === null ? "–" : this.stopped(ghost),
      ];
      const name = nameOfPlace(this.tape, this.lanes, place);
      return h("tr", {}, h("th", { scope: "row" }, name), ...texts.map((text) => h("td", {}, text)));
    });
    const heads = ["name", "value or norm", "gradient", "ghost"].map((text) => h("th", { scope: "col" }, text));
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
      const from = paths.losses.slice(0, 4).map(name).join(", ") + (paths.losses.length > 4 ? ` and ${paths.losses.length - 4} more losses` : "");
      const parts = paths.parts;
      return [
        h("p", {}, `The gradient of ${from} arrives along the highlighted edges.`),
        ...parts.flatMap((path) => this.path(path)),
        ...(parts.length ? [] : [h("p", { class: "quiet" }, this.unsplit(paths))]),
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

  path(path) {
    const largest = Math.max(0, ...path.parts.map((part) => Math.abs(numeric(part.value))));
    const total = numeric(path.total);
    const name = (place) => nameOfPlace(this.tape, this.lanes, place);
    if (this.tape.skips(path.loss, total)) return this.skipped(this.tape.nodes[path.loss[0]].step + 1);
    const meant = this.tape.meant(path.target, total);
    const title = `∂${name(path.loss)}/∂${within(this.tape.coordinate(path.target), name(path.target))} = ${short(total)}`
      + (meant === null ? "" : `; ∂${name(path.loss)}/∂${name(path.target)} = ${short(meant)}`);
    if (largest === 0) return [h("h3", {}, title), h("p", {}, `${path.parts.length} paths lead here; each contributes 0.`)];
    const parts = [...path.parts].sort((a, b) => Math.abs(numeric(b.value)) - Math.abs(numeric(a.value)));
    const rows = parts.map((part) => {
      const between = part.through.filter((place) => ![path.loss, path.target].some((end) => keyOf(end) === keyOf(place)));
      const value = numeric(part.value);
      const percent = total ? `, ${short(Math.round((100 * value) / total))} %` : "";
      const all = between.map(name);
      const names = all.length > 3 ? [...all.slice(0, 2), "…", all.at(-1)] : all;
      const text = `${names.length ? `through ${names.join(" ← ")}` : "directly"}${part.ways > 1 ? `, ${part.ways} paths` : ""}`;
      return h("li", { title: all.join(" ← "), style: `--share: ${((100 * Math.abs(value)) / largest).toFixed(1)}%`, class: value < 0 ? "part minus" : "part" },
        h("span", {}, text), h("b", {}, `${short(value)}${percent}`));
    });
    return [h("h3", {}, title), h("ul", { class: "parts scroll" }, ...rows)];
  }

  /* The cuts that are switched off and on the path: what would come through them. */
  asked(paths) {
    const crossed = this.tape.cuts.filter((cut) => this.tape.without.has(cut.number) && cut.severed
      && paths.places.has(`${cut.source}:${cut.output}`)
      && cut.targets.some((target) => this.tape.nodes[target].outputs.some((_, n) => paths.places.has(`${target}:${n}`))));
    if (!crossed.length) return [];
    return [h("p", {}, "Without a cut that is switched off its ghost arrives, too:"),
      h("ul", {}, ...crossed.slice(0, 6).map((cut) => h("li", {}, this.cutLine(cut)))),
      crossed.length > 6 ? h("p", {}, `and ${crossed.length - 6} more cuts`) : ""].filter(Boolean);
  }

  cutLine(cut) {
    return `✂ cut ${cut.number}, ${cut.reason ?? "no reason given"}, of ${nameOfPlace(this.tape, this.lanes, [cut.source, cut.output])}, ${shorten(cut.file)}:${cut.line}; ghost: ${this.ghosts([cut])}`;
  }

  /* An arrow, with its cuts, and a switch for each where it can be reached. */
  arrow(arrow, switches) {
    const cuts = [...arrow.cuts].map((number) => this.tape.cuts[number]);
    const row = (cut) => (switches ? this.toggle([cut], this.cutLine(cut)) : this.cutLine(cut));
    return [
      h("h2", {}, `${nameOf(arrow.source)} → ${nameOf(arrow.target)}`),
      h("p", { class: "kind" }, SAYING[arrow.flow]),
      h("ul", { class: "cuts" }, ...cuts.slice(0, switches ? 60 : 4).map((cut) => h("li", {}, row(cut)))),
      cuts.length > 4 && !switches ? h("p", {}, `and ${cuts.length - 4} more cuts`) : "",
    ].filter(Boolean);
  }

  /* A reading inside an opened box. */
  wire(edge, flow) {
    if (!edge) return [h("p", {}, "The fused operation reads this value.")];
    const cut = edge.cut === null ? [] : [h("p", {}, this.cutLine(this.tape.cuts[edge.cut]))];
    return [h("h2", {}, nameOfPlace(this.tape, this.lanes, [edge.source, edge.output])), h("p", { class: "kind" }, SAYING[flow]), ...cut];
  }

  /* An operation or a value inside an opened box. */
  inner(data) {
    if (data.line) {
      return [h("h2", {}, data.line.name), h("p", { class: "kind" }, "One kernel computes it and does not store it."), h("p", {}, `It reads ${data.line.reads} ${data.line.reads === 1 ? "value" : "values"}.`)];
    }
    const place = data.number === undefined ? data.place : [data.number, 0];
    if (!place) return [h("h2", {}, data.label)];
    const node = this.tape.nodes[place[0]];
    const outputs = data.number === undefined || node.outputs.length === 1 ? this.facts(place) : this.table(node.outputs.map((_, n) => [place[0], n]));
    const name = data.number === undefined ? nameOfPlace(this.tape, this.lanes, place) : node.op ?? nameOfPlace(this.tape, this.lanes, place);
    return [h("h2", {}, name), node.inside !== null ? h("p", { class: "kind" }, "Fused: one kernel computes it. Enter or a double click opens it.") : "", ...outputs].filter(Boolean);
  }

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
        h("small", {}, `keeps ${names.slice(0, 8).join(", ") || "nothing"}${names.length > 8 ? ` and ${names.length - 8} more` : ""}`));
    });
    return [
      h("li", {}, h("span", {}, `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}; shared arrays count once`), h("b", {}, amountOf(now.bytes))),
      ...rows, ...(nodes.length > 60 ? [h("li", {}, `and ${nodes.length - 60} more`)] : []),
    ];
  }

  /* The cuts of a step, grouped by what was cut and why, with a switch for each group. */
  cuts(step) {
    const groups = new Map();
    for (const cut of this.tape.cuts) {
      if (cut.step !== step) continue;
      const place = [cut.source, cut.output], here = this.lanes.box(place);
      const box = here?.kind === "loss" ? null : here; // what is cut inside a loss is not the loss
      const key = `${box?.id ?? keyOf(place)} ${cut.reason}`;
      if (!groups.has(key)) groups.set(key, { cuts: [], name: box ? nameOf(box) : nameOfPlace(this.tape, this.lanes, place) });
      groups.get(key).cuts.push(cut);
    }
    const stopping = ({ cuts }) => cuts.some((cut) => cut.severed);
    return [...groups.values()].sort((a, b) => stopping(b) - stopping(a)).map(({ cuts, name }) => {
      const numbers = cuts.map((cut) => cut.number);
      const called = cuts.length > 1 ? `${cuts.length} cuts, ${numbers[0]} … ${numbers.at(-1)}` : `cut ${numbers[0]}`;
      return h("li", {}, this.toggle(cuts, `${called}, ${cuts[0].reason ?? "no reason given"}: ${name}`, `ghost: ${this.ghosts(cuts)}`, stopping({ cuts })));
    });
  }

  toggle(cuts, text, remark = "", stopping = true) {
    const numbers = cuts.map((cut) => cut.number);
    const off = numbers.every((number) => this.tape.without.has(number));
    const box = h("input", { type: "checkbox", checked: off, change: (event) => this.flip(numbers, event.target.checked) });
    return h("label", {}, box, h("span", {}, text, remark && h("small", { class: stopping ? "" : "quiet" }, remark)));
  }
}

/* How much memory a value takes. */
const bytesOf = ({ shape, dtype }) => shape.reduce((product, length) => product * length, Number(dtype.match(/\d+/)?.[0] ?? 8) / 8);

/* So many bytes, in few digits. */
function amountOf(size) {
  const unit = size < 1e3 ? 0 : size < 1e6 ? 1 : size < 1e9 ? 2 : 3;
  return `${short(size / 1000 ** unit)} ${["B", "kB", "MB", "GB"][unit]}`;
}

const SAYING = {
  kept: "kept: the gradient flows back along it",
  cut: "cut by detach(): the value passes, the gradient stops",
  asked: "without its cut: the gradient would flow back",
  value: "a constant, or no gradient recorded",
  backward: "backward() leaves a gradient in .grad",
};
