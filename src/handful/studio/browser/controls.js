// Sliders for truncation and directions, choices of class and style.
import { $, h } from "./build.js";

const FAR = 8, STEP = 0.1;

/** Shows a slider for each direction. Its name is the user's, kept in this browser for this model. */
export function showDirections(strengths, fingerprint, recipe, change, commit) {
  const key = `handful-directions-${fingerprint}`;
  const names = JSON.parse(localStorage.getItem(key) ?? "[]");
  $("directions-words").textContent = "Found in this model. Try them, and name what they do.";
  $("still").disabled = false;
  $("directions").replaceChildren(...strengths.map((strength, index) => {
    const name = names[index] ?? `Direction ${index + 1}`;
    const value = h("output", {}, "0.0");
    const range = h("input", { type: "range", min: -FAR, max: FAR, step: STEP, value: recipe.moves[index] ?? 0, "aria-label": name, "data-index": String(index) });
    const label = h("input", { class: "label", value: name, "aria-label": `Name of direction ${index + 1}`, maxlength: "40", spellcheck: "false", title: `changes pictures ${strength} times as much as a random direction` });
    range.addEventListener("input", () => { value.textContent = Number(range.value).toFixed(1); change(index, Number(range.value)); });
    range.addEventListener("change", commit);
    range.addEventListener("dblclick", () => { range.value = 0; range.dispatchEvent(new Event("input")); commit(); });
    label.addEventListener("change", () => {
      names[index] = label.value || `Direction ${index + 1}`;
      range.setAttribute("aria-label", names[index]);
      localStorage.setItem(key, JSON.stringify([...strengths.keys()].map(i => names[i] ?? `Direction ${i + 1}`)));
    });
    return h("div", { class: "direction" }, h("span", {}, label, value), range);
  }));
  syncDirections(recipe);
}

export function syncDirections(recipe) {
  for (const range of $("directions").querySelectorAll('input[type="range"]')) {
    range.value = recipe.moves[range.dataset.index] ?? 0;
    range.previousElementSibling.lastElementChild.textContent = Number(range.value).toFixed(1);
  }
}

/** Fills a choice, and keeps what is chosen. */
export function fill(select, first, entries, chosen) {
  select.replaceChildren(h("option", { value: "" }, first), ...entries.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen ?? "";
}

export function syncControls(recipe) {
  $("truncation").value = recipe.truncation;
  $("truncation-value").textContent = Number(recipe.truncation).toFixed(2);
  $("class").value = recipe.class_name ?? "";
  syncDirections(recipe);
}
