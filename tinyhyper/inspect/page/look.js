"use strict";
/* How the graph looks: colours from the page's style sheet, Okabe and Ito's, which the colour-blind tell apart. */

function look() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const line = (name, extra) => ({
    "line-color": colour(name), "target-arrow-color": colour(name), color: colour(name), ...extra,
  });
  return [
    { selector: "node", style: { "font-family": LETTERS.family } },
    { selector: ".band", style: {
      shape: "round-rectangle", width: "data(width)", height: "data(height)", "background-color": colour("band"),
      "corner-radius": 14, events: "no", "z-compound-depth": "bottom" } },
    { selector: ".band.current", style: { "background-color": colour("band-current"), "border-width": 2, "border-color": colour("faint") } },
    { selector: ".box", style: {
      shape: "round-rectangle", width: "data(width)", height: "data(height)", label: "data(label)", "corner-radius": 6,
      "background-color": colour("ground"), "border-width": 1.4, "border-color": colour("quiet"), color: colour("ink"),
      "font-size": LETTERS.size, "text-wrap": "wrap", "text-valign": "center", "text-halign": "center", "line-height": 1.2,
      "min-zoomed-font-size": 5 } },
    { selector: ".box.far", style: { label: "data(far)", "font-size": "data(letters)", "line-height": 1 } },
    { selector: ".gradient", style: { "corner-radius": 20 } },
    { selector: ".loss", style: { "background-color": colour("loss"), "font-weight": 600 } },
    { selector: ".outer", style: { "border-width": 2.4, "font-weight": 600 } },
    { selector: ".sign", style: { "font-size": 22, "font-weight": 600 } },
    { selector: ".constant", style: { "border-style": "dotted", color: colour("quiet") } },
    { selector: ".fused", style: { "border-style": "double", "border-width": 5 } },
    { selector: "edge", style: {
      width: 2, "curve-style": "straight", "target-arrow-shape": "triangle", "arrow-scale": 0.9, "line-color": colour("quiet"),
      "target-arrow-color": colour("quiet"), label: "data(label)", "font-size": 19, "font-family": "DejaVu Sans, Segoe UI Symbol, Apple Symbols, sans-serif",
      "text-background-color": colour("ground"), "text-background-opacity": 1, "text-background-shape": "round-rectangle",
      "text-background-padding": 0, "text-wrap": "wrap", "min-zoomed-font-size": 5 } },
    { selector: ".wire", style: { "curve-style": "bezier" } },
    { selector: ".arrow", style: { "source-endpoint": "data(from)", "target-endpoint": "data(to)" } },
    { selector: ".bent", style: {
      "curve-style": "round-segments", "segment-weights": "data(weights)", "segment-distances": "data(distances)",
      "segment-radii": 12, "edge-distances": "endpoints" } },
    { selector: ".kept", style: line("kept", { width: 2.8 }) },
    { selector: ".cut", style: line("cut", { width: 2.6, "line-style": "dashed", "line-dash-pattern": [8, 6] }) },
    { selector: ".arrow.cut", style: { "font-size": LETTERS.sign } },
    { selector: ".arrow.cut.far", style: { label: SIGNS.cut, "font-size": 19 } },
    { selector: ".idle", style: line("faint", { width: 1.4, color: colour("quiet"), "target-arrow-fill": "hollow" }) },
    { selector: ".gate", style: line("kept", { width: 2.8, "line-style": "dashed", "line-dash-pattern": [12, 4] }) },
    { selector: ".asked", style: line("asked", { width: 5, "font-size": 17, "font-weight": 700, "line-style": "dashed", "line-dash-pattern": [20, 6, 5, 6] }) },
    { selector: ".value", style: line("faint", { width: 1.4 }) },
    { selector: ".plain", style: line("quiet", { width: 1.6 }) },
    { selector: ".backward", style: line("faint", { width: 1.6, "line-style": "dotted" }) },
    { selector: "node.path", style: { "border-width": 3.4, "border-color": colour("kept") } },
    { selector: "edge.path", style: { width: 6, "z-index": 9, "underlay-color": colour("glow"), "underlay-opacity": 0.5, "underlay-padding": 4 } },
    { selector: ".barrier", style: { width: 5, "z-index": 8 } },
    { selector: "edge.dim", style: { opacity: colour("back") } },
    { selector: ".asked", style: { opacity: 1, "z-index": 10 } }, // what was ticked is what the reader looks for
    { selector: "node.dim", style: { "text-opacity": colour("back"), "border-opacity": colour("back") } },
    { selector: "node.arrived", style: { "border-width": 3.4, "border-color": colour("kept") } },
    { selector: "node.now", style: { "underlay-color": colour("glow"), "underlay-opacity": 0.7, "underlay-padding": 7 } },
    { selector: ".arrow.stopped", style: { label: "data(label)", width: 5, "z-compound-depth": "top" } },
    { selector: "edge.now", style: { "underlay-color": colour("glow"), "underlay-opacity": 0.5, "underlay-padding": 5 } },
    { selector: ".badge", style: {
      shape: "round-rectangle", width: "data(width)", height: "data(height)", label: "data(label)", "corner-radius": 9, events: "no",
      "background-color": colour("kept"), color: colour("ground"), "font-size": "data(letters)", "font-weight": 600, "text-valign": "center", "z-index": 20 } },
    { selector: ".token", style: { width: 16, height: 16, events: "no", "background-color": colour("kept"), "border-width": 3, "border-color": colour("glow"), "z-index": 30 } },
    { selector: "node.chosen", style: { "border-width": 4, "border-color": colour("ink"), "underlay-color": colour("glow"), "underlay-opacity": 0.6, "underlay-padding": 6 } },
    { selector: "edge.chosen", style: { width: 6, "underlay-color": colour("glow"), "underlay-opacity": 0.6, "underlay-padding": 6 } },
  ];
}
