"use strict";
/* The data of the page, which stands in it packed: `packing.py` says how. */

function unpacked(column) {
  if (Array.isArray(column)) return column;
  if ("of" in column) return typeof column.at === "number" ? Array(column.at).fill(column.of[0]) : column.at.map((n) => column.of[n]);
  if ("sum" in column) {
    let sum = 0;
    return column.sum.map((more) => (sum += more));
  }
  if ("some" in column) {
    const found = unpacked(column.found).values();
    return unpacked(column.some).map((some) => (some ? found.next().value : null));
  }
  if ("lengths" in column) {
    const items = unpacked(column.items);
    let end = 0;
    return unpacked(column.lengths).map((length) => items.slice(end, (end += length)));
  }
  const fields = Object.entries(column.fields).map(([name, values]) => [name, unpacked(values)]);
  return fields[0][1].map((_, n) => {
    const row = Array.isArray(column.fields) ? [] : {};
    for (const [name, values] of fields) row[name] = values[n];
    return row;
  });
}
