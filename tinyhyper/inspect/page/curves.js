"use strict";
/* The curves under the graph: each hyperparameter, the loss and the memory over the steps. */

const CURVE = { width: 190, height: 78, left: 50, right: 8, top: 8, bottom: 8 };

/* The curves of a recording: a name, and pairs of step and value. */
function curvesOf(tape) {
  const found = new Map();
  const add = (name, step, value) => {
    if (!found.has(name)) found.set(name, new Map());
    if (value !== null) found.get(name).set(step, value);
  };
  for (const loss of tape.losses()) add("loss", tape.nodes[loss[0]].step, tape.value(loss));
  const levels = new Map();
  for (const node of tape.nodes) {
    node.outputs.forEach((output, n) => {
      const label = output.label;
      if (label?.role !== "hyperparameter" || node.kind === "constant") return;
      levels.set(called(label.name, label.level + 1), label.level);
      add(called(label.name, label.level + 1), node.step, tape.value([node.number, n]));
    });
  }
  for (const now of tape.alive) if (now.step <= tape.steps) add("memory alive, bytes", now.step, now.bytes);
  const order = (name) => (name === "loss" ? -1 : levels.get(name) ?? Infinity);
  return [...found]
    .map(([name, points]) => ({ name, points: [...points].sort((a, b) => a[0] - b[0]) }))
    .filter((curve) => curve.points.length > 1)
    .sort((a, b) => order(a.name) - order(b.name));
}

class Curves {
  /* go: called with the step of a curve that was clicked. */
  constructor(root, tape, go) {
    this.curves = curvesOf(tape);
    this.root = root;
    this.go = go;
    this.log = false;
    this.steps = [0, Math.max(1, tape.steps)];
    this.draw();
  }

  draw() {
    this.panels = this.curves.map((curve) => this._panel(curve));
    this.root.replaceChildren(...this.panels.map((panel) => panel.figure));
    if (this.step !== undefined) this.mark(this.step);
  }

  /* Mark a step on every curve, with its value. */
  mark(step) {
    this.step = step;
    for (const { curve, x, y, line, dot, number } of this.panels) {
      const value = new Map(curve.points).get(step);
      line.setAttribute("d", `M${x(step)} 0V${CURVE.height}`);
      const shown = value !== undefined && Number.isFinite(y(value));
      dot.setAttribute("visibility", shown ? "visible" : "hidden");
      if (shown) {
        dot.setAttribute("cx", x(step));
        dot.setAttribute("cy", y(value));
      }
      number.textContent = value === undefined ? "–" : short(value);
    }
  }

  _panel(curve) {
    const drawable = (value) => Number.isFinite(value) && (!this.log || value > 0);
    const scale = this.log ? Math.log : (value) => value;
    const values = curve.points.map(([, value]) => value).filter(drawable).map(scale);
    const low = Math.min(...values), high = Math.max(...values);
    const x = (step) => CURVE.left + ((step - this.steps[0]) / (this.steps[1] - this.steps[0])) * (CURVE.width - CURVE.left - CURVE.right);
    const y = (value) => {
      const share = high > low ? (scale(value) - low) / (high - low) : 0.5;
      return CURVE.height - CURVE.bottom - share * (CURVE.height - CURVE.top - CURVE.bottom);
    };
    const points = curve.points.filter(([, value]) => drawable(value));
    const path = points.map(([step, value], n) => `${n ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const line = svg("path", { class: "marker" });
    const dot = svg("circle", { r: 4, class: "dot" });
    const ends = points.map(([, value]) => value);
    const scales = points.length ? [[Math.max(...ends), 11], [Math.min(...ends), CURVE.height - 3]] : [];
    const labels = scales.filter(([value], n) => !n || value !== scales[0][0])
      .map(([value, height]) => svg("text", { x: 3, y: height, class: "scale" }, short(value)));
    const first = curve.points[0][1], last = curve.points.at(-1)[1];
    const drawing = svg("svg", {
      viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, role: "img",
      "aria-label": `${curve.name} over the steps, from ${short(first)} to ${short(last)}`,
    }, line, svg("path", { d: path, class: "curve" }), ...labels, dot);
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * CURVE.width;
      const share = (at - CURVE.left) / (CURVE.width - CURVE.left - CURVE.right);
      this.go(Math.round(this.steps[0] + share * (this.steps[1] - this.steps[0])));
    });
    const number = h("b");
    const figure = h("figure", { class: "panel" }, h("figcaption", {}, h("span", {}, curve.name), number), drawing);
    return { curve, x, y, line, dot, number, figure };
  }
}
