// The page: a large picture and its controls, and a grid of seeds.

import { encode } from "./png.js";

const model = JSON.parse(document.getElementById("model").textContent);
const element = (id) => document.getElementById(id);
const MOST_SEED = 2 ** 53 - 5;
const STEP_SECONDS = 2.5; // of a walk, from one seed to the next
const TILES = 48; // added at a time
const MOST_DIFFERENT = 0.02; // of the bytes of a picture, from PyTorch's

const state = { seed: 0, x: 0, y: 0, truncation: 1, className: "", strengths: model.names.map(() => 0) };
let playing = false;
let shown = null; // the bytes of the large picture

// Two workers: one draws the large picture, the other the grid.

const source = URL.createObjectURL(new Blob([element("worker").textContent], { type: "text/javascript" }));

class Painter {
  constructor(ready) {
    this.worker = new Worker(source);
    this.queue = [];
    this.busy = null;
    this.isReady = false;
    this.worker.onmessage = ({ data }) => {
      if (data.kind === "progress") say(data.text);
      else if (data.kind === "failed") say(`This browser cannot draw the pictures: ${data.text}`);
      else if (data.kind === "ready") {
        this.isReady = true;
        ready?.(data.weights);
        this.next();
      } else {
        const { done } = this.busy;
        this.busy = null;
        done(data.pixels);
        this.next();
      }
    };
    this.worker.onerror = (event) => say(`This browser cannot draw the pictures: ${event.message}`);
  }

  /** Ask for a picture; one that waits under the same key is replaced. */
  ask(key, request, done) {
    const job = { key, request: { kind: "draw", ...request }, done };
    const waiting = this.queue.findIndex((other) => other.key === key);
    if (waiting < 0) this.queue.push(job);
    else this.queue[waiting] = job;
    this.next();
  }

  forget(key) {
    this.queue = this.queue.filter((job) => job.key !== key);
  }

  next() {
    if (!this.isReady || this.busy || !this.queue.length) return;
    this.busy = this.queue.shift();
    this.worker.postMessage(this.busy.request);
  }
}

const say = (text) => (element("status").textContent = text);

const request = (changes = {}) => ({
  place: { seed: state.seed, x: state.x, y: state.y },
  strengths: state.strengths,
  className: state.className,
  truncation: state.truncation,
  ...changes,
});

const ofSeed = (seed) => request({ place: { seed, x: 0, y: 0 }, strengths: state.strengths.map(() => 0) });

function paint(canvas, pixels) {
  const { width, height, channels } = model;
  const image = new ImageData(width, height);
  for (let i = 0, from = 0; i < image.data.length; i += 4, from += channels) {
    image.data[i] = pixels[from];
    image.data[i + 1] = pixels[from + (channels > 1 ? 1 : 0)];
    image.data[i + 2] = pixels[from + (channels > 1 ? 2 : 0)];
    image.data[i + 3] = channels === 4 ? pixels[from + 3] : 255;
  }
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

// The large picture.

const view = new Painter((weights) => {
  grid.worker.postMessage({ kind: "start", description: model, weights }, [weights.buffer]);
  say("Drawing the first picture");
});
const grid = new Painter();

const rate = { since: 0, count: 0 };

function draw(then) {
  const name = nameOf();
  view.ask("picture", request(), (pixels) => {
    paint(element("picture"), pixels);
    shown = { pixels, name };
    element("picture").setAttribute("aria-label", `Picture of ${name.replaceAll("-", " ")}`);
    element("picture").dataset.name = name;
    if (!document.documentElement.dataset.ready) {
      document.documentElement.dataset.ready = Math.round(performance.now());
      say("Ready. Nothing leaves this page.");
      grid.ask("check", { ...ofSeed(0), className: "", truncation: 1 }, check);
    }
    then?.();
  });
}

/** Compare the picture of seed 0 with PyTorch's: browsers differ in speed, and must not in pictures. */
function check(pixels) {
  const expected = Uint8Array.from(atob(model.check), (letter) => letter.charCodeAt(0));
  const share = pixels.filter((value, i) => value !== expected[i]).length / expected.length;
  document.documentElement.dataset.differs = share.toFixed(4);
  element("differs").hidden = share <= MOST_DIFFERENT;
  element("differs").textContent = `In this browser ${Math.ceil(100 * share)} % of a picture's bytes differ from those of handful generate.`;
}

function nameOf() {
  const changed = state.x || state.y || state.truncation < 1 || state.className || state.strengths.some(Boolean);
  return `seed-${state.seed}${changed ? "-changed" : ""}`;
}

/** Show the state in all controls, draw it, and put it into the address. */
function update({ corners = true, tiles = false, address = true } = {}) {
  element("seed").value = state.seed;
  element("truncation").value = state.truncation;
  element("truncation-value").textContent = state.truncation.toFixed(2);
  if (element("class")) element("class").value = state.className;
  state.strengths.forEach((strength, index) => {
    element(`direction-${index}`).value = strength;
    element(`direction-${index}-value`).textContent = (strength > 0 ? "+" : "") + strength.toFixed(1).replace("-", "−");
  });
  placeHandle();
  if (corners) drawCorners();
  if (tiles) redrawTiles();
  mark();
  if (address) writeAddress();
  draw();
}

function choose(seed) {
  state.seed = Math.min(Math.max(Math.trunc(seed) || 0, 0), MOST_SEED);
  [state.x, state.y] = [0, 0];
  update();
}

// The address: #seed=7&truncation=0.7&class=cats&directions=0,2,0

function writeAddress() {
  const fields = new URLSearchParams({ seed: state.seed });
  if (state.truncation < 1) fields.set("truncation", state.truncation);
  if (state.className) fields.set("class", state.className);
  if (state.strengths.some(Boolean)) fields.set("directions", state.strengths.join());
  if (state.x || state.y) fields.set("place", [state.x, state.y].map((value) => value.toFixed(3)).join());
  try {
    history.replaceState(null, "", `#${fields}`);
  } catch {
    // A page in a report's frame has no address of its own.
  }
}

function readAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const within = (text, low, high, otherwise) => {
    const value = text?.trim() ? Number(text) : NaN;
    return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : otherwise;
  };
  state.seed = Math.trunc(within(fields.get("seed"), 0, MOST_SEED, 0));
  state.truncation = within(fields.get("truncation"), 0, 1, 1);
  state.className = model.classes.includes(fields.get("class")) ? fields.get("class") : "";
  const strengths = (fields.get("directions") ?? "").split(",");
  state.strengths = state.strengths.map((_, index) => within(strengths[index], -4, 4, 0));
  const place = (fields.get("place") ?? "").split(",");
  [state.x, state.y] = [0, 1].map((index) => within(place[index], 0, 1, 0));
}

// The pad: four seeds at its corners, the picture's own at the top left.

function placeHandle() {
  const pad = element("pad");
  element("handle").style.left = `${100 * state.x}%`;
  element("handle").style.top = `${100 * state.y}%`;
  const part = (value) => `${Math.round(100 * value)} %`;
  pad.setAttribute("aria-valuenow", Math.round(100 * state.x));
  pad.setAttribute("aria-valuetext", `${part(state.x)} to the right, ${part(state.y)} down`);
}

function drawCorners() {
  for (let corner = 0; corner < 4; corner++) {
    const canvas = element(`corner-${corner}`);
    element(`corner-${corner}-seed`).textContent = state.seed + corner;
    grid.forget(canvas);
    grid.queue.unshift({ key: canvas, request: { kind: "draw", ...ofSeed(state.seed + corner) }, done: (pixels) => paint(canvas, pixels) });
  }
  grid.next();
}

function movePad(x, y) {
  const exact = (value) => Math.min(Math.max(value, 0), 1);
  [state.x, state.y] = [exact(x), exact(y)];
  update({ corners: false });
}

const pad = element("pad");
const follow = (event) => {
  const box = pad.getBoundingClientRect();
  movePad((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
};
pad.addEventListener("pointerdown", (event) => {
  play(false);
  pad.setPointerCapture(event.pointerId);
  pad.focus();
  follow(event);
});
pad.addEventListener("pointermove", (event) => pad.hasPointerCapture(event.pointerId) && follow(event));
pad.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 0.25 : 0.05;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const move = event.key === "Home" ? [-state.x, -state.y] : moves[event.key];
  if (!move) return;
  event.preventDefault();
  event.stopPropagation();
  play(false);
  movePad(state.x + move[0], state.y + move[1]);
});

// The walk: the pad's handle goes to the right, and the next seed becomes the first.

function play(on) {
  if (playing === on) return;
  playing = on;
  element("play").setAttribute("aria-pressed", on);
  element("play").firstElementChild.textContent = on ? "Pause" : "Walk";
  Object.assign(rate, { since: performance.now(), count: 0 });
  if (on) walk(performance.now());
  else {
    writeAddress();
    say("Paused.");
  }
}

function walk(before) {
  if (!playing) return;
  const now = performance.now();
  state.x += Math.min((now - before) / 1000, 0.25) / STEP_SECONDS;
  const arrived = state.x >= 1;
  if (arrived) [state.seed, state.x] = [state.seed < MOST_SEED ? state.seed + 1 : 0, state.x - 1];
  placeHandle();
  if (arrived) {
    element("seed").value = state.seed;
    drawCorners();
    mark();
    writeAddress();
  }
  draw(() => {
    rate.count += 1;
    const seconds = (performance.now() - rate.since) / 1000;
    if (seconds >= 1) {
      element("picture").dataset.rate = (rate.count / seconds).toFixed(1);
      say(`${Math.round(rate.count / seconds)} pictures a second.`);
      Object.assign(rate, { since: performance.now(), count: 0 });
    }
    requestAnimationFrame(() => walk(now));
  });
}

// Saving and sharing.

async function save() {
  if (!shown) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await encode(shown.pixels, model.width, model.height, model.channels));
  link.download = `${shown.name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`Saved ${link.download}.`);
}

async function share() {
  writeAddress();
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say("The link is in the address bar.");
  }
}

// The grid: canvases that come near the window are drawn, those that leave it are emptied.

const tiles = element("tiles");
const near = new Set();

const visible = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries)
      if (isIntersecting) {
        near.add(target);
        drawTile(target);
      } else {
        near.delete(target);
        grid.forget(target);
        target.firstElementChild.width = 0;
      }
  },
  { rootMargin: "300px" },
);

function drawTile(tile) {
  grid.ask(tile, ofSeed(Number(tile.dataset.seed)), (pixels) => near.has(tile) && paint(tile.firstElementChild, pixels));
}

function redrawTiles() {
  near.forEach(drawTile);
}

function addTiles() {
  const first = tiles.childElementCount;
  for (let seed = first; seed < first + TILES; seed++) {
    const tile = document.createElement("button");
    const [canvas, label] = [document.createElement("canvas"), document.createElement("span")];
    tile.type = "button";
    tile.dataset.seed = seed;
    tile.setAttribute("aria-label", `Seed ${seed}`);
    canvas.width = 0;
    label.textContent = seed;
    tile.append(canvas, label);
    tile.addEventListener("click", () => {
      play(false);
      choose(seed);
      if (matchMedia("(max-width: 60rem)").matches) element("picture").scrollIntoView({ block: "start" });
    });
    tiles.append(tile);
    visible.observe(tile);
  }
  mark();
}

function mark() {
  tiles.querySelector("[aria-current]")?.removeAttribute("aria-current");
  tiles.children[state.seed]?.setAttribute("aria-current", "true");
}

new IntersectionObserver(([entry]) => entry.isIntersecting && addMore(), { rootMargin: "800px" }).observe(element("end"));

/** Add tiles until the end of the grid is out of sight; an observer only reports changes. */
function addMore() {
  addTiles();
  requestAnimationFrame(() => element("end").getBoundingClientRect().top < innerHeight + 800 && addMore());
}

// Controls.

const still = (act) => () => {
  play(false);
  act();
};
const stepTo = (by) => still(() => choose(state.seed + by));
const atRandom = still(() => choose(Math.floor(Math.random() * 1e6)));

element("seed").addEventListener("change", still(() => choose(Number(element("seed").value))));
element("previous").addEventListener("click", stepTo(-1));
element("next").addEventListener("click", stepTo(1));
element("random").addEventListener("click", atRandom);
element("play").addEventListener("click", () => play(!playing));
element("save").addEventListener("click", save);
element("share")?.addEventListener("click", share);
element("truncation").addEventListener("input", () => {
  state.truncation = Number(element("truncation").value);
  update({ tiles: true });
});
element("class")?.addEventListener("change", () => {
  state.className = element("class").value;
  update({ tiles: true });
});
state.strengths.forEach((_, index) =>
  element(`direction-${index}`).addEventListener("input", () => {
    state.strengths[index] = Number(element(`direction-${index}`).value);
    update({ corners: false });
  }),
);
element("reset").addEventListener("click", () => {
  play(false);
  Object.assign(state, { x: 0, y: 0, truncation: 1, className: "", strengths: state.strengths.map(() => 0) });
  update({ tiles: true });
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, [role=slider]")) return;
  const actions = { ArrowLeft: stepTo(-1), ArrowRight: stepTo(1), r: atRandom, s: save };
  if (!event.target.closest("button")) actions[" "] = () => play(!playing);
  const act = actions[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
addEventListener("hashchange", () => {
  play(false);
  readAddress();
  update({ tiles: true, address: false });
});

readAddress();
update({ address: false });
view.worker.postMessage({ kind: "start", description: model, text: element("weights").textContent });
