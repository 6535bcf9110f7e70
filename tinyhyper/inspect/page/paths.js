"use strict";
/* The paths of gradients: from losses back to what was chosen, or where they are stopped. */

class Paths {
  constructor(tape, lanes, box) {
    this.tape = tape;
    this.box = box;
    const losses = [...lanes.boxes.values()].filter((other) => other.kind === "loss").map((other) => other.names.get("loss"));
    if (box.kind === "loss") {
      this.losses = [box.names.get("loss")];
      this.targets = [];
      this.places = tape.leading(this.losses);
    } else {
      const gradients = box.kind === "gradient" ? box.places.map(([node]) => tape.nodes[node]).filter((node) => node.of) : [];
      this.targets = box.kind === "gradient" ? gradients.map((node) => node.of) : box.places;
      const following = tape.following(this.targets);
      const wanted = new Set(gradients.map((node) => keyOf(node.loss)));
      this.losses = losses.filter((loss) => following.has(keyOf(loss)) && (!wanted.size || wanted.has(keyOf(loss))));
      const leading = tape.leading(this.losses);
      this.places = new Map([...following].filter(([key]) => leading.has(key)));
      this.barriers = this.losses.length ? [] : tape.barriers(following.keys());
      this.ends = following;
      const recorded = tape.following(this.targets, (edge) => tape.flow(edge) === "kept");
      this.kept = this.losses.filter((loss) => recorded.has(keyOf(loss))); // the others come past a cut that is switched off
    }
  }

  /* Whether gradients come along an arrow on the path. */
  along(arrow) {
    return (arrow.flow === "kept" || arrow.flow === "asked") && arrow.links.some((link) => this._on(link));
  }

  /* Whether an arrow shows one of the cuts that stop every path. */
  stops(arrow) {
    return Boolean(this.barriers?.length) && arrow.flow === "cut" && this.barriers.some((cut) => arrow.cuts.has(cut.number));
  }

  passed(box) {
    return box === this.box || box.places.some((place) => this.places.has(keyOf(place)));
  }

  /* What is known to have come along which path: the entries of the recording's `paths`. */
  get parts() {
    const targets = new Set(this.targets.map(keyOf));
    const losses = new Set(this.losses.map(keyOf));
    return (this.tape.paths ?? []).filter((path) => targets.has(keyOf(path.target)) && losses.has(keyOf(path.loss)));
  }

  /* The cuts that are switched off and on the paths. */
  get crossed() {
    const off = this.tape.cuts.filter(({ number, severed }) => severed && this.tape.without.has(number));
    return off.filter(({ source, output, targets }) => targets.some((node) => this._on({ place: [source, output], node })));
  }

  _on({ place, node }) {
    return this.places.has(keyOf(place)) && this.tape.nodes[node].outputs.some((_, n) => this.places.has(`${node}:${n}`));
  }
}
