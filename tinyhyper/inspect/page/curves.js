"use strict";
/* The curves under the graph: the loss, each hyperparameter and the memory over the steps; those of another run beside. */

const CURVE = { width: 190, height: 78, left: 50, right: 8, top: 8, bottom: 20 };

class Curves {
  /* curves: as `curves.py` makes them.  go: called with the step of a curve that was clicked. */
  constructor(root, curves, steps, go) {
    this.curves = curves.map(({ name, points, beside }) => ({ name, runs: [points, beside].map((run) => run.map(([step, value]) => [step, numeric(value)])) }));
    this.root = root;
    this.go = go;
    this.log = false;
    this.steps = [0, Math.max(1, steps, ...this.curves.flatMap(({ runs }) => runs.flat().map(([step]) => step)))];
    this.draw();
  }

  draw() {
    this.panels = this.curves.map((curve) => this._panel(curve));
    this.root.replaceChildren(...this.panels.map((panel) => panel.figure));
    if (this.step !== undefined) this.mark(this.step);
  }

  /* Mark a step on every curve, with its value in each run. */
  mark(step) {
    this.step = step;
    for (const { x, y, line, shown } of this.panels) {
      line.setAttribute("d", `M${x(step)} 0V${CURVE.height}`);
      for (const { values, dot, number } of shown) {
        const value = values.get(step);
        const drawn = typeof value === "number" && Number.isFinite(y(value));
        dot.setAttribute("visibility", drawn ? "visible" : "hidden");
        if (drawn) {
          dot.setAttribute("cx", x(step));
          dot.setAttribute("cy", y(value));
        }
        number.textContent = value === undefined ? "–" : value === null ? SKIPPED : short(value);
      }
    }
  }

  _panel({ name, runs }) {
    const drawable = (point) => point !== undefined && Number.isFinite(point[1]) && (!this.log || point[1] > 0);
    const scale = this.log ? Math.log : (value) => value;
    const ends = runs.flat().filter(drawable).map(([, value]) => value);
    const low = Math.min(...ends), high = Math.max(...ends);
    const x = (step) => CURVE.left + ((step - this.steps[0]) / (this.steps[1] - this.steps[0])) * (CURVE.width - CURVE.left - CURVE.right);
    const y = (value) => {
      const share = high > low ? (scale(value) - scale(low)) / (scale(high) - scale(low)) : 0.5;
      return CURVE.height - CURVE.bottom - share * (CURVE.height - CURVE.top - CURVE.bottom);
    };
    const path = (run) => run.map((point, n) => {
      if (!drawable(point)) return ""; // the curve has a gap here
      const alone = !drawable(run[n - 1]) && !drawable(run[n + 1]) ? "m-2 0h4" : "";
      return `${drawable(run[n - 1]) ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}${alone}`;
    }).join("");
    const cross = (step) => svg("path", { d: `M${x(step) - 4} ${CURVE.height / 2 - 4}l8 8m-8 0l8 -8`, class: "skipped" }, svg("title", {}, `step ${step}: skipped`));
    const crosses = runs[0].filter(([, value]) => value === null).map(([step]) => cross(step));
    const line = svg("path", { class: "marker" });
    const shown = runs.map((run, n) => ({
      kind: n ? "beside" : "first", run, values: new Map(run), dot: svg("circle", { r: 4, class: n ? "dot beside" : "dot" }), number: h("b", n ? { class: "beside" } : {}),
    })).filter(({ run }) => run.length);
    const scales = ends.length ? [[high, 11], ...(low < high ? [[low, CURVE.height - CURVE.bottom + 3]] : [])] : [];
    const digits = Array.from({ length: 14 }, (_, n) => n + 4).find((n) => low === high || shortest(low, n) !== shortest(high, n)) ?? 17;
    const labels = scales.map(([value, height]) => svg("text", { x: 3, y: height, class: "scale" }, digits > 4 ? shortest(value, digits) : short(value)));
    const axis = this.steps.map((step, n) => svg("text", { x: x(step), y: CURVE.height - 4, class: "axis", "text-anchor": n ? "end" : "start" }, n ? step : `step ${step}`));
    const ended = (run) => run.filter(([, value]) => value !== null).map(([, value]) => short(value));
    const told = shown.map(({ run }) => `from ${ended(run)[0]} to ${ended(run).at(-1)}`).join("; beside it ");
    const drawing = svg("svg", { viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, role: "img", "aria-label": `${name} over the steps, ${told}` },
      line, ...shown.map(({ run, kind }) => svg("path", { d: path(run), class: `curve ${kind}` })), ...crosses, ...labels, ...axis, ...shown.map(({ dot }) => dot));
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * CURVE.width;
      const share = (at - CURVE.left) / (CURVE.width - CURVE.left - CURVE.right);
      this.go(Math.round(this.steps[0] + share * (this.steps[1] - this.steps[0])));
    });
    const figure = h("figure", { class: "panel" }, h("figcaption", {}, h("span", {}, name), ...shown.map(({ number }) => number)), drawing);
    return { x, y, line, shown, figure };
  }
}

/* A number in so many digits. */
const shortest = (value, digits) => String(Number(value.toPrecision(digits)));

/* Which line is whose. at: the step at which the other run begins; null without another. */
function runs(at) {
  const key = (kind, text) => h("li", {}, svg("svg", { width: 34, height: 12, "aria-hidden": "true" }, svg("path", { d: "M2 6H32", class: `curve ${kind}` })), h("span", {}, text));
  return at === null ? [] : [key("first", "this run"), key("beside", at ? `the other run, from step ${at}` : "the other run")];
}
