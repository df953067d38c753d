"use strict";
// Shows the row under the pointer or finger on the map, and the place on the map of a row of the table.

const told = JSON.parse(document.getElementById("data").textContent);
const map = document.querySelector(".map"), tip = document.getElementById("tip");
const points = [];
for (const [kind, rows] of Object.entries(told)) {
  map.querySelectorAll(`g.${kind} circle`).forEach((circle, i) => points.push({ circle, kind, i, row: rows[i] }));
}
let on = null;

function mark(point) {
  on?.circle.classList.remove("on");
  on = point;
  on?.circle.classList.add("on");
}

function show(point, x, y) {
  mark(point);
  tip.hidden = !point;
  if (!point) return;
  const title = document.createElement("b");
  title.textContent = { candidate: "candidate", labelled: "labelled", chosen: `chosen, number ${point.i + 1}` }[point.kind];
  tip.replaceChildren(title, ...point.row.map(([name, value]) => {
    const line = document.createElement("div");
    line.textContent = `${name}: ${value}`;
    return line;
  }));
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 14 + tip.offsetHeight > innerHeight ? Math.max(4, y - tip.offsetHeight - 14) : y + 14}px`;
}

function nearest(x, y) {
  const box = map.firstElementChild.getBoundingClientRect(), scale = box.width / map.firstElementChild.viewBox.baseVal.width;
  let best = null, least = 20;
  for (const point of points) {
    const dx = box.left + point.circle.cx.baseVal.value * scale - x, dy = box.top + point.circle.cy.baseVal.value * scale - y;
    const distance = Math.hypot(dx, dy) - (point.kind === "chosen" ? 5 : 0);
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

for (const kind of ["pointermove", "pointerdown"]) {
  map.addEventListener(kind, (event) => show(nearest(event.clientX, event.clientY), event.clientX, event.clientY));
}
map.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
map.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const chosen = points.filter((point) => point.kind === "chosen");
  if (!step || !chosen.length) return;
  event.preventDefault();
  const point = chosen[(chosen.indexOf(on) + step + chosen.length) % chosen.length], box = point.circle.getBoundingClientRect();
  show(point, box.left, box.top);
});
for (const row of document.querySelectorAll("tr[data-rank]")) {
  row.addEventListener("pointerenter", () => mark(points.find((p) => p.kind === "chosen" && p.i === Number(row.dataset.rank))));
}
