import { address, doing, post, waitFor, warmUp } from "./api.js";
import { $, h, write } from "./build.js";
import { browseFolders } from "./folders.js";
import { takeUploads } from "./upload.js";
import { duration, plural } from "./words.js";

let source = null, turn = 0;

const bar = (id, task) => {
  $(id).hidden = !task;
  if (!task) return;
  write($(`${id}-words`), `${task.what} …`);
  if (task.total) { $(`${id}-bar`).max = task.total; $(`${id}-bar`).value = task.done; } else $(`${id}-bar`).removeAttribute("value");
};

/** Looks at the pictures, and again when the size or the fit has changed. */
const look = doing(async () => {
  const mine = ++turn;
  const { size, fit } = options();
  const { result } = await waitFor(await post("/api/check", { source, options: { size: size ?? 256, fit } }), task => bar("checking", task));
  if (mine === turn) show(result);
});

function use(path) {
  source = path;
  $("choose").hidden = true;
  $("chosen").hidden = false;
  $("checked").hidden = true;
  write($("chosen-name"), path.split(/[/\\]/).at(-1));
  write($("chosen-facts"), "");
  look();
}

function show(result) {
  $("checked").hidden = false;
  write($("chosen-name"), result.name);
  write($("chosen-facts"), [plural(result.images, "picture"), result.facts.sizes, result.facts.formats].filter(Boolean).join(" · "));
  $("sheet").replaceChildren(...result.sheet.map(one => h("li", {}, h("img", { src: one.picture, alt: one.name, title: one.name }))));
  $("verdict").className = `tone ${result.clean ? "good" : result.trainable ? "caution" : "bad"}`;
  write($("verdict").lastElementChild, result.verdict);
  $("faults").replaceChildren(...result.findings.map(fault => finding(fault, result.images)));
  $("step-options").hidden = $("step-start").hidden = !result.trainable;
  $("classes").hidden = result.folders.length < 2;
  write($("classes-words"), `Each folder is a class that can be drawn by its name: ${result.folders.slice(0, 6).join(", ")}${result.folders.length > 6 ? ", …" : ""}.`);
}

function finding(fault, images) {
  const pictures = fault.files.filter(file => file.picture).slice(0, 12);
  const named = fault.files.filter(file => !file.picture).slice(0, 6).map(file => file.name);
  const leave = fault.severity !== "note" && fault.extra.length && fault.extra.length < images - 1;
  return h("li", { class: `fault ${fault.severity}` }, h("h3", {}, fault.what), h("p", {}, fault.remedy),
    named.length > 0 && h("p", {}, named.join(", ")),
    pictures.length > 0 && h("ul", {}, pictures.map(file => h("li", {}, h("img", { src: file.picture, alt: "" }), h("span", { title: file.name }, file.name)))),
    leave && h("button", { onclick: doing(async () => { use((await post("/api/leave-out", { source, files: fault.extra })).source); }) }, `Leave out ${plural(fault.extra.length, "picture")}`));
}

const number = text => text === "" ? undefined : Number(text);

/** The options as the form has them; those left empty keep their defaults. */
function options() {
  const form = $("options").elements;
  const size = form.size.value.trim();
  const channels = form.channels.value;
  const all = {
    preset: form.preset.value, size: /^\d+$/.test(size) ? Number(size) : size || undefined, fit: form.fit.value,
    mirror: form.mirror.checked, labels: form.labels.checked ? "folders" : "none", steps: number(form.steps.value),
    minutes: number(form.minutes.value), stop_when: form.stop_when.checked ? "plateau" : "never",
    channels: channels === "auto" ? undefined : Number(channels), batch: number(form.batch.value), width: number(form.width.value), seed: number(form.seed.value),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

$("options").addEventListener("submit", event => event.preventDefault());
$("options").addEventListener("change", event => {
  const { name, value } = event.target;
  const form = $("options").elements;
  if (name === "preset") {
    form.size.value = value === "tiny" ? 64 : 256;
    form.steps.value = value === "tiny" ? 10000 : 50000;
  }
  $("forecast").hidden = true;
  if (["preset", "size", "fit"].includes(name)) look();
});
$("other").addEventListener("click", () => {
  turn++;
  $("choose").hidden = false;
  $("chosen").hidden = $("step-options").hidden = $("step-start").hidden = true;
});
$("ask").addEventListener("click", doing(async () => {
  $("ask").disabled = true;
  try {
    const { result } = await waitFor(await post("/api/forecast", { source, options: options() }), task => bar("asking", task));
    const memory = `${(result.memory_mb / 1024).toPrecision(2)} GiB${result.limit_mb ? ` of ${(result.limit_mb / 1024).toPrecision(2)}` : ""}`;
    const rows = [["Time", duration(result.seconds_left)], ["Speed", `${result.images_per_second.toPrecision(3)} images a second`], ["Memory", memory]];
    $("forecast").replaceChildren(...rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
    $("forecast").hidden = false;
  } finally {
    $("ask").disabled = false;
  }
}));
$("start").addEventListener("click", doing(async () => {
  $("start").disabled = true;
  try {
    const { name } = await post("/api/start", { source, name: $("options").elements.name.value, options: options() });
    location.assign(address("/run", { name }));
  } finally {
    $("start").disabled = false;
  }
}));

browseFolders("pictures", use);
warmUp();
takeUploads(use);
