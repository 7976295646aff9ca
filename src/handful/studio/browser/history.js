// The sample grids of a run, one after the other.
import { address } from "./api.js";
import { $, write } from "./build.js";
import { count } from "./words.js";

const WIDTH = 1200, FRAME = 350;
let steps = [], best = null, name = "", timer = null;
const images = new Map();

const url = step => address("/api/run/sample", { name, step, width: WIDTH });

function load(step) {
  if (!images.has(step)) {
    const image = new Image();
    image.src = url(step);
    images.set(step, image.decode().catch(() => {}).then(() => image));
  }
  return images.get(step);
}

async function showStep(index) {
  const step = steps[index];
  write($("when"), `Step ${count(step)}${step === best ? ", the best" : index === steps.length - 1 ? ", the newest" : ""}`);
  $("history").setAttribute("aria-valuetext", `step ${step}`);
  await load(step);
  if (steps[Number($("history").value)] !== step) return;
  $("grid").src = url(step);
  $("grid").alt = `Generated pictures at step ${count(step)}`;
}

function play(on) {
  clearInterval(timer);
  timer = null;
  write($("play"), on ? "Pause" : "Play");
  $("play").setAttribute("aria-pressed", String(on));
  if (!on) return;
  timer = setInterval(() => {
    const slider = $("history");
    slider.value = (Number(slider.value) + 1) % steps.length;
    showStep(Number(slider.value));
  }, FRAME);
}

export function showHistory(run, all, bestStep) {
  const slider = $("history");
  const wasLast = Number(slider.value) >= steps.length - 1;
  [name, steps, best] = [run, all, bestStep];
  $("pictures").hidden = !steps.length;
  if (!steps.length) return;
  slider.max = steps.length - 1;
  $("timeline").hidden = steps.length < 2;
  if (wasLast) slider.value = steps.length - 1;
  showStep(Number(slider.value));
}

$("history").addEventListener("input", () => { play(false); showStep(Number($("history").value)); });
$("play").addEventListener("click", () => play(timer === null));
