"use strict";
// Sorting, filtering, values of points, enlarging. Everything works with a pointer, a finger and the keyboard.

for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => direction * compare(a.cells[column], b.cells[column]));
      body.classList.add("sorted");
      body.append(...rows);
    });
  });
}

function compare(a, b) {
  const [x, y] = [a.dataset.value, b.dataset.value];
  const [p, q] = [parseFloat(x), parseFloat(y)];
  if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q) || x.localeCompare(y);
  return p - q;
}

for (const input of document.querySelectorAll("section.table input")) {
  const section = input.closest("section");
  const rows = [...section.querySelectorAll("tbody tr")];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    section.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  });
}

const tip = document.getElementById("tip");
const dot = document.createElement("div");
dot.className = "dot";
const REACH = 24; // pixels between the pointer and a point that it shows

function show(plot, [left, top, text]) {
  const box = plot.getBoundingClientRect();
  dot.style.left = `${100 * left}%`;
  dot.style.top = `${100 * top}%`;
  plot.append(dot);
  tip.textContent = text;
  tip.hidden = false;
  const x = Math.min(box.left + left * box.width + 12, window.innerWidth - tip.offsetWidth - 4);
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, box.top + top * box.height - tip.offsetHeight - 12)}px`;
}

function hide() {
  dot.remove();
  tip.hidden = true;
}

for (const plot of document.querySelectorAll(".plot")) {
  const points = JSON.parse(plot.dataset.points);
  let current = -1;
  const point = (event) => {
    const box = plot.getBoundingClientRect();
    let best = REACH;
    current = -1;
    points.forEach(([left, top], place) => {
      const distance = Math.hypot(box.left + left * box.width - event.clientX, box.top + top * box.height - event.clientY);
      if (distance < best) [best, current] = [distance, place];
    });
    if (current < 0) hide();
    else show(plot, points[current]);
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && points.length) {
      current = (current + step + points.length) % points.length;
      show(plot, points[current]);
      event.preventDefault();
    } else if (event.key === "Enter") enlarge(plot);
    else if (event.key === "Escape") hide();
  });
}

const dialog = document.getElementById("zoom");
const stage = dialog.querySelector(".stage");
let scale = 1;

function enlarge(plot) {
  hide();
  // Only one copy of an id may be visible to references inside the SVG; both are the same drawing.
  stage.replaceChildren(plot.querySelector("svg").cloneNode(true));
  rescale(0);
  dialog.showModal();
  stage.focus();
}

function rescale(factor) {
  scale = factor === 0 ? 1 : Math.min(8, Math.max(0.5, scale * factor));
  stage.firstElementChild.style.width = `${100 * scale}%`;
}

for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => enlarge(button.closest("figure").querySelector(".plot")));
}
for (const button of dialog.querySelectorAll("[data-scale]")) {
  button.addEventListener("click", () => rescale(Number(button.dataset.scale)));
}
dialog.addEventListener("keydown", (event) => {
  const factor = { "+": 1.4, "=": 1.4, "-": 0.714, "0": 0 }[event.key];
  if (factor !== undefined) rescale(factor);
});
stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  rescale(event.deltaY < 0 ? 1.2 : 0.833);
}, { passive: false });
