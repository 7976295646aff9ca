import { address, doing, get, post, repeat, warmUp } from "./api.js";
import { $, h, write } from "./build.js";
import { takeModels } from "./open.js";
import { STATES, ago, count, duration, isAlive, plural } from "./words.js";

const cards = new Map();

function progressOf(run) {
  if (!isAlive(run.state)) return run.step ? `step ${count(run.step)}` : "";
  if (run.state !== "training") return "";
  return `${count(run.step)} of ${count(run.steps)}${run.seconds_left ? `, ${duration(run.seconds_left)} left` : ""}`;
}

function findings(run) {
  if (!run.verdict) return [h("p", { class: "unscored" }, isAlive(run.state) ? "Scores come with the first checkpoints." : "Not scored.")];
  return ["close", "varied", "copied"].map(key => h("div", {},
    h("dt", {}, run.verdict[key].question.replace("how much is ", "")),
    h("dd", { class: run.verdict[key].tone }, run.verdict[key].word)));
}

function picture(run) {
  if (run.sample === null || run.sample === undefined)
    return h("p", {}, run.error ?? (isAlive(run.state) ? "The first pictures are on their way." : "No pictures yet."));
  const source = address("/api/run/sample", { name: run.name, step: run.sample, width: 640 });
  return h("img", { src: source, alt: `Generated pictures of ${run.title}`, loading: "lazy" });
}

function card(run) {
  const page = address("/run", { name: run.name });
  return h("li", { class: "card" },
    h("div", { class: "picture" }, picture(run),
      run.state === "training" && h("progress", { max: run.steps, value: run.step, "aria-label": "Steps done" })),
    h("header", {}, h("h2", {}, h("a", { href: page }, run.title ?? run.name)),
      run.state && h("p", { class: `state ${run.state}` }, h("i"), h("span", {}, STATES[run.state]))),
    h("p", { class: "where", title: run.name }, [run.name !== run.title && run.name, run.size, run.images && plural(run.images, "image"), !isAlive(run.state) && ago(run.age)].filter(Boolean).join(" · ")),
    h("dl", { class: "findings" }, findings(run)),
    h("footer", {},
      h("p", { class: "facts" }, progressOf(run)),
      run.model && h("a", { class: "link", href: address("/explore", { source: run.name }), "aria-label": `Explore ${run.title}` }, "Explore"),
      !isAlive(run.state) && h("button", { class: "quiet", "aria-label": `Delete ${run.name}`, onclick: () => remove(run) }, "Delete")));
}

/** Asks whether to delete something, and does it. */
function ask(title, what, words, path, body) {
  const dialog = $("delete");
  write($("delete-title"), title);
  write($("delete-what"), what);
  write($("delete-words"), words);
  dialog.returnValue = "";
  dialog.onclose = doing(async () => {
    if (dialog.returnValue !== "delete") return;
    await post(path, body);
    await show();
  });
  dialog.showModal();
}

const remove = run => ask("Delete this run?", run.name,
  "Its models, pictures, scores and checkpoints are deleted from the disk. Your own pictures stay.", "/api/run/delete", { name: run.name });

const removeModel = model => ask("Delete this model?", model.name,
  "The copy that was dropped here is deleted from the disk. The file that you dropped stays.", "/api/models/delete", { source: model.source });

let modelsShown = "";

function showModels(models) {
  const text = JSON.stringify(models.map(model => [model.source, ago(model.age)]));
  if (text === modelsShown) return;
  modelsShown = text;
  $("models").hidden = !models.length;
  $("models-list").replaceChildren(...models.map(model => h("li", {},
    h("a", { href: address("/explore", { source: model.source }) }, model.name), h("span", { class: "soft" }, ago(model.age)),
    h("button", { class: "quiet", "aria-label": `Delete ${model.name}`, onclick: () => removeModel(model) }, "Delete"))));
}

async function show() {
  const [{ runs }, { models }] = await Promise.all([get("/api/runs"), get("/api/models")]);
  showModels(models);
  const kept = new Map();
  let before = null;
  for (const run of runs) {
    const known = cards.get(run.name);
    const text = JSON.stringify({ ...run, age: ago(run.age) });
    let element = known?.element;
    if (known?.text !== text) {
      const fresh = card(run);
      const held = element?.contains(document.activeElement) ? document.activeElement.tagName : null;
      element?.replaceWith(fresh);
      element = fresh;
      if (held) fresh.querySelector(held)?.focus();
    }
    if (before ? before.nextSibling !== element : $("cards").firstChild !== element)
      before ? before.after(element) : $("cards").prepend(element);
    kept.set(run.name, { element, text });
    before = element;
  }
  for (const [name, { element }] of cards) if (!kept.has(name)) element.remove();
  cards.clear();
  kept.forEach((value, name) => cards.set(name, value));
  const alive = runs.filter(run => isAlive(run.state)).length;
  $("count").hidden = !runs.length;
  write($("count"), runs.length ? plural(runs.length, "run") + (alive ? `, ${alive} training` : "") : "");
  $("empty").hidden = runs.length + models.length > 0;
  return alive ? 2 : 5;
}

takeModels();
repeat(show).then(warmUp);
