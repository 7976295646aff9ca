// Charts come drawn. This adds the values under the pointer.
import { $, h } from "./build.js";

export function showCharts(charts) {
  $("scores").hidden = !charts.length;
  const open = charts.some(chart => !chart.folded) ? charts.filter(chart => !chart.folded) : charts;
  const folded = charts.filter(chart => !open.includes(chart));
  $("charts").replaceChildren(...open.map(figure));
  $("folded").replaceChildren(...folded.map(figure));
  $("more").hidden = !folded.length;
}

function figure(chart) {
  const title = h("h3", {}, chart.title, chart.unit && " ", chart.unit && h("small", {}, chart.unit));
  // The studio has escaped the names in it.
  const drawing = new DOMParser().parseFromString(chart.svg, "text/html").querySelector("svg");
  follow(drawing);
  return h("figure", {}, title, drawing, chart.explanation && h("figcaption", {}, chart.explanation));
}

function follow(drawing) {
  const lines = [...drawing.querySelectorAll("[data-values]")].map(line => JSON.parse(line.dataset.values));
  const values = drawing.querySelectorAll(".value"), cursor = drawing.querySelector(".cursor"), at = drawing.querySelector(".at");
  if (!at || !lines.flat().length) return;
  const before = [at, ...values].map(text => text.textContent);
  drawing.addEventListener("pointermove", event => {
    const x = new DOMPoint(event.clientX, 0).matrixTransform(drawing.getScreenCTM().inverse()).x;
    const nearest = lines.flat().reduce((a, b) => Math.abs(b[1] - x) < Math.abs(a[1] - x) ? b : a);
    at.textContent = `step ${nearest[0]}`;
    lines.forEach((line, i) => { values[i].textContent = (line.find(point => point[0] === nearest[0]) ?? [0, 0, "–"])[2]; });
    cursor.setAttribute("x1", nearest[1]);
    cursor.setAttribute("x2", nearest[1]);
    cursor.setAttribute("visibility", "visible");
  });
  drawing.addEventListener("pointerleave", () => {
    [at, ...values].forEach((text, i) => { text.textContent = before[i]; });
    cursor.setAttribute("visibility", "hidden");
  });
}
