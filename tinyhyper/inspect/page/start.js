"use strict";
/* The first script of a page. The others stand in it deflated, with the data: so a page is less than half as large. */

let held; // what the page shows

(async () => {
  const bytes = Uint8Array.from(atob(document.getElementById("held").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  held = await new Response(stream).json();
  for (const text of held.scripts) document.body.append(Object.assign(document.createElement("script"), { text }));
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("drawn")));
})();
