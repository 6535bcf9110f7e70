"use strict";
/* The page of a program: what is chosen in the picture is told in words, and what it reads and makes stands out. */

const PARTS = { loss: "the loss", backward: "backward", step: "the optimizer's step" };
const WAYS = {
  "=": "by a C function, with the eager engine's bits",
  "~": "by a C function, within rounding of the eager engine",
  np: "by what the eager engine calls",
  "": "no work is done: nobody reads the result, or its reader takes the operand as it lies",
};
const KINDS = {
  value: "there before", batch: "comes with the batch", constant: "a constant", earlier: "left by a step before",
};

class Program {
  constructor(data, picture) {
    this.arrays = data.arrays;
    this.lines = data.steps.flatMap((step) => step.instructions);
    this.losses = new Set(data.steps.map((step) => step.loss));
    this.picture = picture;
    for (const kind of ["line", "array"]) {
      for (const element of picture.querySelectorAll(`[data-${kind}]`)) {
        element.addEventListener("click", (event) => {
          event.stopPropagation();
          this.choose(kind, Number(element.dataset[kind]));
        });
      }
    }
    at("stage").addEventListener("click", () => this.choose(null));
    at("stage").addEventListener("keydown", (event) => this.key(event));
    this.choose(null);
  }

  line(number) {
    return this.lines[number - 1];
  }

  /* Choose an instruction or an array; null for neither. */
  choose(kind, number = 0) {
    this.chosen = kind && { kind, number };
    this.picture.classList.toggle("chosen", kind !== null);
    for (const element of this.picture.querySelectorAll(".on")) element.classList.remove("on");
    if (kind === "line") {
      const { reads, inside, writes } = this.line(number);
      this.light([number], [...reads, ...inside, ...writes]);
    }
    if (kind === "array") this.light([...this.readers(number), this.arrays[number].first], [number]);
    const saying = { line: () => this.sayLine(this.line(number)), array: () => this.sayArray(this.arrays[number]) };
    at("details").replaceChildren(...(saying[kind] ?? (() => this.greeting()))());
  }

  /* Choose what may be out of sight. */
  show(kind, number) {
    this.choose(kind, number);
    this.drawn(kind, number)[0]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /* What is drawn of an instruction or an array; nothing where the picture ends before it. */
  drawn(kind, number) {
    return [...this.picture.querySelectorAll(`g[data-${kind}="${number}"], path[data-${kind}="${number}"]`)];
  }

  /* Let instructions and arrays stand out. */
  light(lines, arrays) {
    const drawn = [...lines.map((number) => this.drawn("line", number)), ...arrays.map((number) => this.drawn("array", number))];
    for (const element of drawn.flat()) element.classList.add("on");
  }

  key(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.choose(null);
    if (!move) return;
    event.preventDefault();
    const here = this.chosen?.kind === "line" ? this.chosen.number : move > 0 ? 0 : this.lines.length + 1;
    if (this.line(here + move)) this.show("line", here + move);
  }

  /* The instructions that read an array. */
  readers(number) {
    return this.lines.filter((line) => line.reads.includes(number) || line.inside.includes(number)).map((line) => line.number);
  }

  greeting() {
    const count = (part) => this.lines.filter((line) => line.part === part).length;
    const counts = Object.entries(PARTS).map(([part, name]) => `${count(part)} in ${name}`).join(", ");
    return [
      h("h2", {}, `${this.lines.length} instructions`),
      h("p", {}, `${counts}.`),
      h("p", {}, "Click an instruction or an array to see what it reads and makes. The backward pass reads arrays that the loss has made, so they stay until then."),
    ];
  }

  sayLine(line) {
    const cut = (n) => (line.cuts[n] ? [h("small", {}, `✂\uFE0E cut (${line.cuts[n]}): no gradient flows back`)] : []);
    return [
      h("h2", {}, `${line.number} ${line.op}`),
      h("p", { class: "kind" }, `${PARTS[line.part]}, ${WAYS[line.way]}${this.group(line)}`),
      h("p", {}, this.drawn("line", line.number).at(-1)?.querySelector("title").textContent ?? ""),
      h("h3", {}, "reads"),
      h("ul", {}, line.reads.map((number, n) => this.item(number, this.origin(number), ...cut(n))), line.inside.map((number) => this.item(number, this.origin(number)))),
      h("h3", {}, "makes"),
      h("ul", {}, line.writes.map((number) => this.item(number, this.life(number)))),
      h("p", { class: "kind" }, `${line.file}:${line.line}`),
    ];
  }

  /* With which others a line runs block after block. */
  group(line) {
    const others = this.lines.filter((other) => other.group === line.group && other !== line).map((other) => other.number);
    return line.group === null ? "" : `; block after block with ${others.join(", ")}`;
  }

  sayArray(array) {
    const value = array.value === null ? [] : [h("dt", {}, "value"), h("dd", {}, String(array.value))];
    const buffers = array.buffers.length ? [h("dt", {}, "buffers"), h("dd", {}, array.buffers.join(", "))] : [];
    const readers = this.readers(array.number).map((number) => this.button("line", number, `${number} ${this.line(number).op}`));
    const made = array.first === null ? KINDS[array.kind] : this.button("line", array.first, `${array.first} ${this.line(array.first).op}`);
    return [
      h("h2", {}, array.name),
      h("p", { class: "kind" }, this.shape(array)),
      h("dl", {}, h("dt", {}, "made by"), h("dd", {}, made), h("dt", {}, "there"), h("dd", {}, this.life(array.number)), value, buffers),
      h("h3", {}, "read by"),
      h("ul", {}, readers.length ? readers.map((one) => h("li", {}, one)) : h("li", {}, "nothing in this step")),
    ];
  }

  item(number, remark, ...more) {
    const array = this.arrays[number];
    return h("li", {}, this.button("array", number, array.name), ` ${this.shape(array)}, ${remark}`, more);
  }

  button(kind, number, text) {
    return h("button", { type: "button", click: () => this.show(kind, number) }, text);
  }

  shape({ dtype, shape }) {
    return [dtype, shape.join("×")].join(" ").trim();
  }

  origin(number) {
    const array = this.arrays[number];
    return array.first === null ? KINDS[array.kind] : `made by ${array.first} ${this.line(array.first).op}`;
  }

  life(number) {
    const array = this.arrays[number];
    if (array.last !== null) return array.last === array.first ? "read by nothing" : `until ${array.last} ${this.line(array.last).op}`;
    if (array.carried) return "carried on: a later step reads it, or the user sees it";
    return this.losses.has(number) ? "returned: the loss" : "all the time";
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", paint);
paint();
window.program = new Program(held.program, at("stage").querySelector("svg"));
