"use strict";
/* The page's controls: mouse, keys, the names beside the graph, the light. */

const EDGE = 20; // pixels beside what there is to see
const FOLDS = ["", "tight", "tighter", "tightest"]; // what stands beside a lane: all, no remarks, the name alone, nothing

Object.assign(Explorer.prototype, {
  listen() {
    const { cy } = this;
    const slider = at("slider");
    slider.max = this.tape.steps;
    slider.addEventListener("input", () => this.go(Number(slider.value)));
    at("play").addEventListener("click", () => this.play());
    at("fit").addEventListener("click", () => this.all());
    at("pass").addEventListener("click", () => this.pass());
    at("earlier").addEventListener("click", () => this.advance(-1));
    at("later").addEventListener("click", () => this.advance(1));
    at("uncut").addEventListener("change", (event) => this.flip(this.tape.cuts.map((cut) => cut.number), event.target.checked));
    at("log").addEventListener("change", (event) => {
      this.curves.log = event.target.checked;
      this.curves.draw();
    });
    cy.on("tap", (event) => this.choose(event.target === cy ? null : event.target) ?? this.answer());
    cy.on("onetap", (event) => event.target !== cy && this.visit(event.target)); // which a double click is not
    cy.on("dbltap", ".box", (event) => this.enter(event.target));
    cy.on("mouseover", ".box, edge", (event) => this.tip(event.target, event.renderedPosition));
    cy.on("mouseout pan zoom tapstart", () => (at("tip").hidden = true));
    cy.on("viewport", () => {
      this.sharpen();
      this.fetch();
      this.place();
      this.bars();
    });
    cy.on("resize", () => {
      if (!this.room && at("graph").clientHeight) return this.redraw(null); // a frame may get its room after the page is drawn
      this.place();
      if (!this.stock) return;
      this.fetch();
      this.bars();
    });
    for (const id of ["across", "down"]) at(id).addEventListener("scroll", () => this.scroll());
    document.addEventListener("keydown", (event) => this.key(event));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.theme(dark.matches ? "dark" : "light"));
    this.theme(dark.matches ? "dark" : "light");
    at("theme").addEventListener("click", () => this.theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    at("tabs").addEventListener("click", ({ target }) => target.matches("button") && this.tab(target.getAttribute("aria-controls")));
    this.tab("details");
    at("summary").textContent = summary(this.tape);
    at("legend").replaceChildren(...legend(this.tape));
    for (const id of ["slider", "where"]) at(id).hidden = !this.tape.steps;
    at("play").hidden = !this.tape.steps && !this.tape.sweeps.length;
    at("pass").hidden = !this.tape.sweeps.length;
    for (const row of document.querySelectorAll("#keys [data-of]")) row.hidden = at(row.dataset.of).hidden;
    at("alive").querySelector("h2").textContent = this.tape.steps ? "Kept alive after this step" : "Kept alive at the end";
    at("tabs").querySelector("[aria-controls=cutting]").hidden = at("uncut").parentElement.hidden = !this.tape.cuts.length;
    at("runs").replaceChildren(...runs(this.tape.at));
    document.querySelector("footer").hidden = !this.curves.curves.length;
  },

  /* Move along the steps, or the stops of a backward pass, until the last, or until asked to stop. */
  play() {
    const ended = () => (this.run ? this.run.now === this.run.halts.length - 1 : this.step === this.tape.steps);
    if (this.playing) {
      clearInterval(this.playing);
      this.playing = null;
    } else {
      if (ended()) this.run ? this.advance(-Infinity) : this.go(0);
      this.playing = setInterval(() => {
        this.run ? this.advance(1) : this.go(this.step + 1);
        if (ended()) this.play();
      }, this.run ? 1200 : 700);
    }
    at("play").textContent = this.playing ? "❚❚" : "▶";
    at("play").setAttribute("aria-label", this.playing ? "stop" : "play");
  },

  /* Show one of the parts that stand below the legend. */
  tab(name) {
    for (const button of at("tabs").children) {
      const part = button.getAttribute("aria-controls");
      button.setAttribute("aria-pressed", String(part === name));
      at(part).hidden = part !== name;
    }
  },

  /* Show all, or as much as can be read: from the first step on, if the present one is in sight then. */
  all() {
    const { x1, x2, y1, y2 } = this.stock.bounds;
    const { clientWidth: width, clientHeight: height } = at("graph");
    const least = this.overview ? LETTERS.least / this.layout.letters : LEAST;
    const zoom = Math.max(least, Math.min((width - 8) / (x2 - x1), (height - 8) / (y2 - y1)));
    const middle = { x: (width - (x1 + x2) * zoom) / 2, y: (height - (y1 + y2) * zoom) / 2 };
    const wide = (x2 - x1) * zoom > width, high = (y2 - y1) * zoom > height;
    this.cy.stop().viewport({ zoom, pan: { x: wide ? 10 - x1 * zoom : middle.x, y: high ? 10 - y1 * zoom : middle.y } });
    if (this.overview && wide && this.layout.right(this.step) > this.cy.extent().x2) this.follow(false);
  },

  key(event) {
    if (event.key === "Escape") return this.escape();
    const own = event.target.matches("[type=range]") ? event.key.startsWith("Arrow") : event.target.matches("input, button, summary") && event.key === " ";
    if (own || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const moves = { ",": () => this.go(this.step - 1), ".": () => this.go(this.step + 1), "+": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.all(), b: () => this.pass(), " ": () => this.play() };
    const inPass = { ArrowLeft: () => this.advance(-1), ArrowRight: () => this.advance(1) };
    const inGraph = {
      ArrowLeft: () => this.move(-1, 0), ArrowRight: () => this.move(1, 0), ArrowUp: () => this.move(0, -1), ArrowDown: () => this.move(0, 1),
      Enter: () => this.enter(this.chosen),
    };
    const act = moves[event.key] ?? (this.run && inPass[event.key]) ?? (event.target.closest("#graph") ? inGraph[event.key] : null);
    if (!act) return undefined;
    event.preventDefault();
    return act();
  },

  zoom(factor) {
    const { clientWidth: width, clientHeight: height } = at("graph");
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: width / 2, y: height / 2 } });
  },

  /* Choose the next box in a direction: near, and straight ahead rather than aside. */
  move(dx, dy) {
    const boxes = this.cy.nodes(".box");
    const from = this.chosen?.isNode() ? this.chosen : null;
    if (!from) {
      const here = boxes.filter((node) => node.data("box")?.step === this.step);
      return this.reach((here.length ? here : boxes).first());
    }
    const { x, y } = from.position();
    let best = null, least = Infinity;
    boxes.forEach((node) => {
      const to = node.position();
      const ahead = (to.x - x) * dx + (to.y - y) * dy;
      const aside = Math.abs((to.x - x) * dy) + Math.abs((to.y - y) * dx);
      const far = ahead + 3 * aside;
      if (ahead > 1 && far < least) [best, least] = [node, far];
    });
    return best && this.reach(best);
  },

  reach(node) {
    this.choose(node);
    this.answer();
    const box = node.renderedBoundingBox();
    const { clientWidth: width, clientHeight: height } = at("graph");
    const by = { x: Math.max(0, 10 - box.x1) - Math.max(0, box.x2 - width + 10), y: Math.max(0, 10 - box.y1) - Math.max(0, box.y2 - height + 10) };
    if (by.x || by.y) this.cy.panBy(by);
  },

  tip(element, position) {
    const tip = at("tip");
    tip.replaceChildren(...this.saying(element, false));
    tip.hidden = false;
    const { clientWidth: width, clientHeight: height } = at("stage");
    tip.style.left = `${clamp(at("graph").offsetLeft + position.x + 16, 4, Math.max(4, width - tip.offsetWidth - 4))}px`;
    const y = at("graph").offsetTop + position.y;
    tip.style.top = `${y + 18 + tip.offsetHeight < height ? y + 18 : Math.max(4, y - tip.offsetHeight - 12)}px`;
  },

  /* The names beside the lanes and above the steps. */
  drawSides() {
    at("lanes").hidden = !this.overview;
    at("steps").hidden = !this.overview || !this.tape.steps;
    if (!this.overview) return;
    at("lanes").replaceChildren(...[...this.layout.top.keys()].map((lane) => this.heading(lane)));
    this.folded = null;
    at("steps").replaceChildren(...this.layout.steps.map((step) => h("span", { "data-step": step }, step ? `after step ${step}` : "before step 1")));
    this.place();
  },

  /* How to read the overview: of steps, levels and hyperparameters where there are some. */
  guide() {
    const { lanes, boxes } = this.lanes, tuned = [...boxes.values()].some(({ kind, lane }) => kind === "values" && lane > 0);
    return [
      this.tape.steps && "Time runs to the right.", lanes.size > 1 && "Each level has a lane.", "Point at a box or an arrow to read about it.",
      `Click a ${tuned ? "hyperparameter" : "box"} to see the path of its gradient.`, "Double-click a box to open it.",
    ].filter(Boolean).join(" ");
  },

  heading(lane) {
    const { names, fixed, rules } = this.lanes.lanes.get(lane);
    const all = [...(names.size ? names : fixed)];
    const title = lane === 0 ? "weights" : all.length === 1 ? called(all[0], lane) : "hyperparameters";
    const remarks = [
      lane > 0 && `${all.length === 1 ? `the ${all[0]} of ` : ""}level ${lane - 1}`,
      names.size > 0 && fixed.size > 0 && `fixed: ${[...fixed].join(", ")}`,
      rules.size > 0 && `moved by ${[...rules].join(", ")}`,
    ];
    const together = !this.lanes.apart(lane);
    const button = names.size > 1
      ? h("button", { type: "button", "aria-expanded": String(!together), click: () => this.toggleLane(lane) }, together ? `show each of ${names.size}` : "show together")
      : null;
    return h("div", { "data-lane": lane }, h("b", {}, title), ...remarks.filter(Boolean).map((text) => h("span", {}, text)), button ?? "");
  },

  place() {
    if (!this.overview) return;
    const pan = this.cy.pan(), zoom = this.cy.zoom();
    const fold = zoom !== this.folded;
    this.folded = zoom;
    for (const heading of at("lanes").children) {
      const [top, bottom] = this.layout.reach(Number(heading.dataset.lane)).map((y) => pan.y + zoom * y);
      if (fold) FOLDS.find((name) => (heading.className = name, heading.offsetHeight <= bottom - top)); // what fits says its lane
      const inSight = Math.min(Math.max(top, 0), bottom - heading.offsetHeight); // as long as any of its lane is
      heading.style.transform = `translateY(${Math.max(top, inSight)}px)`;
    }
    const apart = Math.max(1, Math.ceil(96 / (zoom * PITCH)));
    const room = at("graph").clientWidth;
    for (const label of at("steps").children) {
      const step = Number(label.dataset.step), x = pan.x + zoom * (this.layout.column(step) - 64);
      const inSight = Math.max(x, 2); // as long as any of its band is
      label.hidden = step % apart > 0 || x + apart * zoom * PITCH < inSight + 92 || inSight + 92 > room; // most are far away
      if (!label.hidden) label.style.transform = `translateX(${inSight}px)`;
    }
  },

  /* What a bar says stands in sight. */
  tellBars() {
    const larger = this.far ? this.layout.letters / LETTERS.size : 1;
    if (this.overview) this.cy.nodes(".fixed").forEach((bar) => {
      const reach = (bar.data("width") - larger * pen(bar.data("label"))) / 2 - 8;
      bar.style("text-margin-x", clamp(this.layout.column(this.step) + 80 - bar.position("x"), -reach, reach));
    });
  },

  /* What there is to scroll through, and where the view is in it. */
  bars() {
    const { x1, x2, y1, y2 } = this.stock.bounds, pan = this.cy.pan(), zoom = this.cy.zoom();
    this.scrolled = { across: EDGE - pan.x - x1 * zoom, down: EDGE - pan.y - y1 * zoom };
    for (const [id, side, length] of [["across", "width", x2 - x1], ["down", "height", y2 - y1]]) {
      const bar = at(id);
      bar.firstElementChild.style[side] = `${length * zoom + 2 * EDGE}px`;
      bar.hidden = length * zoom <= at("graph")[side === "width" ? "clientWidth" : "clientHeight"];
      bar.scrollTo(this.scrolled.across, this.scrolled.down);
    }
  },

  /* Follow a bar that was moved; a smaller difference is a bar that has followed. */
  scroll() {
    const [across, down] = [at("across"), at("down")];
    const x = clamp(this.scrolled.across, 0, across.scrollWidth - across.clientWidth) - across.scrollLeft;
    const y = clamp(this.scrolled.down, 0, down.scrollHeight - down.clientHeight) - down.scrollTop;
    if (Math.max(Math.abs(x), Math.abs(y)) > 1) this.cy.stop().panBy({ x, y });
  },

  drawTrail() {
    const names = this.open.length ? [this.layout ? "overview" : "all operations", ...this.open.map((level) => level.name)] : [];
    const buttons = names.map((name, depth) => depth === names.length - 1
      ? h("b", {}, name)
      : h("button", { type: "button", click: () => this.leave(depth) }, name));
    at("trail").replaceChildren(...buttons.flatMap((button, n) => (n ? [" › ", button] : [button])));
  },
});

function summary(tape) {
  const kept = tape.edges.filter((edge) => tape.flow(edge) === "kept").length;
  const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
  const { steps, nodes, cuts } = tape;
  return `${count(steps, "step")}, ${count(nodes.length, "node")}, ${count(kept, "edge kept", "edges kept")}, ${count(cuts.length, "cut")} ✂`;
}

function legend(tape) {
  const mark = (sign, line = "", flow = "cut") => svg("svg", { width: 40, height: 20, "aria-hidden": "true" }, line, sign ? svg("text", { x: 20, y: 15, class: flow }, sign) : "");
  const dashes = { kept: "", cut: "8 6", idle: "8 6", asked: "14 4 3 4", gate: "12 4", backward: "2 4", value: "" };
  const looks = tape.edges.map((edge) => tape.look(tape.flow(edge), edge.cut === null ? [] : [edge.cut]));
  const used = new Set([...looks, ...(tape.cuts.length ? ["asked"] : []), ...(tape.losses().length ? ["backward"] : [])]);
  const kappa = tape.nodes.some(({ outputs }) => outputs.some(({ label }) => label?.name === "alpha" && label.role === "hyperparameter" && label.level === 1));
  const ghosts = tape.cuts.length ? [h("li", { class: "whole" }, mark("✂\uFE0E 1.6"), "ghost: the gradient that a cut stopped; of an array, its norm")] : [];
  const labels = tape.nodes.flatMap(({ outputs }) => outputs.map(({ label }) => label));
  const letters = [...new Set(labels.map((label) => label?.coordinate).filter((one) => COORDINATES[one]).map(word))];
  const said = [
    kappa && "kappa: the alpha of level 1", tape.cuts.length > 0 && "alone: with all other cuts made",
    tape.nil.gradients.size + tape.nil.cuts.size > 0 && `${NOUGHT}: 0 up to rounding`, ...letters.map((one) => `${one}(…): a coordinate`),
  ].filter(Boolean);
  const names = said.length ? [h("li", { class: "whole" }, said.join("; "))] : [];
  return Object.keys(dashes).filter((flow) => used.has(flow)).map((flow) => {
    const line = svg("path", { d: "M1 10H39", class: flow, "stroke-width": flow === "value" || flow === "idle" ? 1.5 : 3, "stroke-dasharray": dashes[flow] });
    return h("li", { title: SAYING[flow] }, mark(SIGNS[flow], line, flow), SAYING[flow].split(": ")[0]);
  }).concat(ghosts, names);
}

window.explorer = new Explorer({ ...held.tape, ...held.views });
