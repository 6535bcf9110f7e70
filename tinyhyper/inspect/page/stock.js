"use strict";
/* What can be drawn. Elements are made when they first come near the view: most of a large graph is never looked at. */

const MARGIN = 0.3; // of the view's width and height: what lies so near is made too

class Stock {
  constructor(cy, elements) {
    this.cy = cy;
    this.elements = elements;
    this.nodes = new Map(elements.filter((one) => one.group === "nodes").map((one) => [one.data.id, one]));
    this.waiting = new Map(elements.map((one) => [one.data.id, one]));
    this.reaches = new Map(elements.map((one) => [one.data.id, this._reach(one)]));
    this.bounds = [...this.nodes.keys()].map((id) => this.reaches.get(id)).reduce(united, { x1: Infinity, x2: -Infinity, y1: Infinity, y2: -Infinity });
  }

  /* Make what is near the view, and return it. */
  fetch() {
    const { x1, x2, y1, y2, w, h: high } = this.cy.extent();
    const area = { x1: x1 - MARGIN * w, x2: x2 + MARGIN * w, y1: y1 - MARGIN * high, y2: y2 + MARGIN * high };
    const near = new Map();
    for (const [id, element] of this.waiting) {
      if (!meet(this.reaches.get(id), area)) continue;
      near.set(id, element);
      for (const end of [element.data.source, element.data.target]) {
        if (this.waiting.has(end)) near.set(end, this.waiting.get(end)); // an edge needs both of its ends
      }
    }
    for (const id of near.keys()) this.waiting.delete(id);
    return this.cy.add([...near.values()]);
  }

  _reach(element) {
    if (element.group === "edges") {
      const [source, target] = [element.data.source, element.data.target].map((id) => this.nodes.get(id));
      const [from, to] = [source, target].map((end) => this._reach(end));
      const { x1, x2 } = source.classes.includes("fixed") ? to : from; // a bar is as long as the run, its arrows go down to a step
      return united({ ...from, x1, x2 }, to);
    }
    const { position: { x, y }, data: { width, height } } = element;
    return { x1: x - width / 2, x2: x + width / 2, y1: y - height / 2, y2: y + height / 2 };
  }
}

const united = (a, b) => ({ x1: Math.min(a.x1, b.x1), x2: Math.max(a.x2, b.x2), y1: Math.min(a.y1, b.y1), y2: Math.max(a.y2, b.y2) });
const meet = (a, b) => a.x1 <= b.x2 && a.x2 >= b.x1 && a.y1 <= b.y2 && a.y2 >= b.y1;
