import { StudioError, address, doing, get, post, repeat, tell } from "./api.js";
import { $, h, write } from "./build.js";
import { showCharts } from "./charts.js";
import { showHistory } from "./history.js";
import { showWays } from "./share.js";
import { STATES, count, duration, isAlive, plural } from "./words.js";

const name = new URLSearchParams(location.search).get("name") ?? "";
const shown = {};

/** Calls a function where its values differ from the last time. */
function changed(part, values, show) {
  const text = JSON.stringify(values);
  if (shown[part] === text) return;
  shown[part] = text;
  show(values);
}

const act = (path, body = {}) => doing(async () => { await post(path, { name, ...body }); await show(); });

function actions(run) {
  const buttons = [];
  if (["training", "preparing"].includes(run.state)) buttons.push(h("button", { onclick: act("/api/run/stop") }, "Stop and save"));
  if (["stopped", "interrupted", "failed"].includes(run.state) && run.steps) buttons.push(h("button", { class: "main", onclick: act("/api/run/resume") }, "Resume"));
  if (run.model) buttons.push(h("a", { class: run.state === "finished" || isAlive(run.state) ? "button main" : "button", href: address("/explore", { source: name }) }, "Explore"));
  if (run.state === "failed" && !run.steps) buttons.push(h("a", { class: "button main", href: "/new" }, "New run"));
  if (run.state === "finished") buttons.push(h("button", { onclick: () => longer(run) }, "Train longer"));
  if (run.model) buttons.push(h("a", { class: "button", href: "#share" }, "Share"));
  if (run.report) buttons.push(h("a", { class: "button", href: address("/report", { name }), target: "_blank", rel: "noopener" }, "Report"));
  $("actions").replaceChildren(...buttons);
}

function longer(run) {
  const dialog = $("longer"), input = $("longer-steps");
  write($("longer-what"), `It has trained for ${count(run.step)} steps, ${duration(run.seconds)} so far. It continues from there, with the same options. The best model so far stays until a better one comes.`);
  input.min = run.step + 1;
  input.value = 2 * run.step;
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue === "go") act("/api/run/resume", { steps: Number(input.value), stop_when: $("longer-plateau").checked ? "plateau" : "never" })(); };
  dialog.showModal();
}

function failure(run) {
  const words = {
    failed: ["It did not start", "The last lines say why. Mend that and start it again."],
    interrupted: ["It ended without saving", "Its process was killed, ran out of memory, or the machine went down. Resume goes on from the newest checkpoint, and ends with the same result as if nothing had happened."],
  }[run.state];
  $("failure").hidden = !words;
  if (!words) return;
  write($("failure-title"), words[0]);
  write($("failure-what"), words[1]);
  const lines = run.output.trim().split("\n").slice(-8).join("\n");
  write($("failure-output"), lines);
  $("failure-output").hidden = !lines;
}

function best(run) {
  $("best").hidden = !run.model;
  if (!run.model) return;
  const alive = isAlive(run.state);
  write($("best"), run.best === null
    ? `Explore and Share use the newest model${alive ? ", until scores tell which is the best" : ". No score has told which is the best"}.`
    : `Explore and Share use the best model${alive ? " so far" : ""}, of step ${count(run.best)}.${alive ? " It stays if you stop now." : ""}`);
}

function findings(verdict) {
  $("findings").hidden = !verdict;
  if (!verdict) return;
  $("findings").replaceChildren(...["close", "varied", "copied"].map(key => verdict[key]).map(finding => h("li", {},
    h("h2", {}, finding.question),
    h("p", { class: `tone ${finding.tone}` }, h("i"), h("span", {}, finding.word)),
    finding.figure && h("p", { class: "figure" }, finding.figure),
    h("p", {}, finding.sentence))));
}

function progress(run) {
  $("progress").hidden = !isAlive(run.state);
  if ($("progress").hidden) return;
  const begun = run.state !== "preparing";
  if (begun) { $("steps").max = run.steps; $("steps").value = run.step; } else $("steps").removeAttribute("value");
  const lines = run.output.trim().split("\n");
  write($("done"), begun ? `Step ${count(run.step)} of ${count(run.steps)}` : lines.at(-1) || "Starting, reading the pictures …");
  write($("left"), begun && run.seconds_left ? `${duration(run.seconds_left)} left` : "");
}

async function pairs(run) {
  const { pairs: all, unseen } = await get("/api/run/pairs", { name });
  $("copies").hidden = false;
  $("pairs").style.setProperty("--shape", (run.size.match(/\d+/g) ?? [1, 1]).join(" / "));
  $("no-pairs").hidden = all.length > 0;
  $("unseen").hidden = !unseen || !all.length;
  write($("unseen"), `The training images cannot be shown. ${unseen}.`);
  $("pairs").replaceChildren(...all.slice(0, 12).map(pair => {
    const recipe = JSON.stringify({ corners: [String(pair.seed)], class_name: pair.class ?? null });
    const mirrored = pair.mirrored ? 1 : null;
    const near = !unseen && h("img", { loading: "lazy", alt: `Training image ${pair.training}`, src: address("/api/run/training", { name, file: pair.training, mirrored }) });
    const drawn = h("img", { loading: "lazy", alt: `Generated picture, seed ${pair.seed}`, src: address("/api/picture", { source: name, picture: recipe }) });
    return h("li", { class: pair.copy ? "copied" : "" }, h("div", { class: "pair" }, drawn, near),
      h("p", { class: "reading" }, h("b", {}, pair.ratio.toFixed(2) + (pair.copy ? " copy" : "")), h("span", { title: pair.training }, pair.training)));
  }));
}

function facts(run) {
  const rows = [["Images", plural(run.images, "image")], ["Size", run.size], ["Time", duration(run.seconds)],
    ["Speed", run.rate && `${run.rate.toPrecision(3)} images a second`], ["Memory", run.memory && `${(run.memory / 1024).toPrecision(2)} GiB`],
    ["Best step", run.best !== null ? count(run.best) : "none yet"], ["Pictures", run.pictures], ["Folder", run.folder]];
  $("facts").replaceChildren(...rows.filter(row => row[1]).map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
}

async function show() {
  let run;
  try {
    run = await get("/api/run", { name });
  } catch (error) {
    if (error instanceof StudioError) tell(error.message, true);
    $("state").hidden = !shown.any;
    throw error;
  }
  shown.any = true;
  $("state").hidden = false;
  document.title = `${run.title} · handful studio`;
  write($("title"), run.title);
  $("state").className = `state ${run.state}`;
  write($("state").lastElementChild, STATES[run.state]);
  progress(run);
  changed("actions", [run.state, run.model, run.report, run.step], () => actions(run));
  changed("failure", [run.state, run.output], () => failure(run));
  if (!run.steps) { write($("about"), name === run.title ? "" : name); return 1; }
  write($("about"), [name !== run.title && name, run.size, plural(run.images, "image"), !isAlive(run.state) && `step ${count(run.step)} of ${count(run.steps)}`].filter(Boolean).join(" · "));
  changed("best", [run.best, run.model, isAlive(run.state)], () => best(run));
  changed("findings", run.verdict, findings);
  changed("outlook", run.outlook, () => { $("outlook").hidden = !run.outlook.length; write($("outlook"), run.outlook.join(" ")); });
  changed("warnings", run.warnings, () => {
    $("warnings").hidden = !run.warnings.length;
    $("warnings").lastElementChild.replaceChildren(...run.warnings.map(text => h("li", {}, text)));
  });
  changed("samples", run.samples, () => showHistory(name, run.samples, run.best));
  changed("charts", run.charts, () => showCharts(run.charts));
  changed("facts", [run.step, run.best], () => facts(run));
  if (run.model) {
    changed("pairs", [run.report, run.best], () => pairs(run).catch(() => { $("copies").hidden = true; }));
    changed("share", true, () => showWays(name, name, () => { delete shown.pairs; show(); }));
  }
  changed("options", run.options, () => $("options").replaceChildren(...run.options.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
  $("log").hidden = !run.output;
  write($("output"), run.output);
  $("details").hidden = false;
  return isAlive(run.state) ? 2 : 8;
}

repeat(show);
