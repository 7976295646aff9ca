import { StudioError, address, doing, get, tell } from "./api.js";
import { $, write } from "./build.js";
import { Connection, paint } from "./connection.js";
import { Comparison } from "./compare.js";
import { fill, showDirections, syncControls } from "./controls.js";
import { Pad } from "./pad.js";
import { Pins } from "./pins.js";
import { hideNear, lookForNearest, lookForPhoto } from "./photo.js";
import { showWays } from "./share.js";
import { History, copy, fileName, fromAddress, plain, same, toAddress, words } from "./state.js";
import { asCorners, takeAlong, takeLatents } from "./takeaway.js";
import { Past, Styles } from "./thumbs.js";
import { onDrop } from "./upload.js";
import { Wall } from "./wall.js";
import { count } from "./words.js";

const source = new URLSearchParams(location.search).get("source") ?? "";
const SEEDS = 1_000_000;

const model = await get("/api/model", { source }).catch(error => {
  if (!(error instanceof StudioError)) throw error;
  write($("waiting"), "");
  tell(error.message, true);
  return null;
});
if (model) start();

function start() {
  const line = new Connection(source);
  const past = new History(fromAddress() ?? plain(0));
  let recipe = copy(past.now), drawn = null, shared = false;

  const show = (next, settled = true) => {
    recipe = next;
    draw();
    sync();
    if (settled) commit();
  };
  const commit = () => {
    past.commit(copy(recipe));
    toAddress(recipe);
    $("undo").disabled = !past.past.length;
    $("redo").disabled = !past.future.length;
    hideNear();
    $("download").href = address("/api/picture", { source, picture: JSON.stringify(recipe) });
    $("download").download = fileName(recipe);
    seen.show(past.past);
  };
  const draw = () => line.show({ picture: recipe }, (image, time) => {
    drawn = image;
    paint($("picture"), image);
    measured(time);
    if (same(recipe, past.now)) seen.take(past.now, image);
  });
  const times = window.studioTimes = [];
  const measured = time => { if (times.push(time) > 2000) times.shift(); };
  const change = (part, settled = false) => show({ ...recipe, ...part }, settled);

  const pad = new Pad($("pad"), $("dot"), $("pad-at"), at => { withCorners(); recipe = { ...recipe, at }; draw(); caption(); }, () => { commit(); sync(); });
  const wall = new Wall($("wall"), line, choose, seed => pin(wallRecipe(seed), wall.known.get(seed)));
  const pins = new Pins(`handful-pins-${model.fingerprint}`, pinned => { pins.stop(); show(copy(pinned)); },
    (stops, moment, done) => line.show({ walk: { stops, moment } }, (image, time) => { paint($("picture"), image); measured(time); done(); }));

  const seen = new Past(earlier => { pins.stop(); show(copy(earlier)); });
  const styles = new Styles(style => change({ style }, true));
  const comparison = new Comparison(source, model, pins, pinned => show(copy(pinned)));

  function pin(picture, image) { pins.add(picture, image); sync(); }
  function wallRecipe(seed) { return { ...plain(seed), truncation: recipe.truncation, class_name: recipe.class_name }; }
  function choose(seed) { pins.stop(); show({ ...recipe, corners: [String(seed)], at: [0, 0], moves: {} }); }
  function followers(corner) { return /^\d+$/.test(corner) ? [1, 2, 3].map(by => String(Number(corner) + by)) : ["1", "2", "3"]; }
  function withCorners() { if (recipe.corners.length === 1) recipe = { ...recipe, corners: [recipe.corners[0], ...followers(recipe.corners[0])] }; }

  function caption() {
    const said = words(recipe);
    write($("name"), said);
    $("picture").setAttribute("aria-label", said);
    const moved = Object.values(recipe.moves).filter(Boolean).length;
    write($("about"), [moved && `${moved} moved`, recipe.style && `in the style of ${words(recipe.style).toLowerCase()}`, recipe.class_name, `${model.width} × ${model.height}`, model.step && `step ${count(model.step)}`].filter(Boolean).join(" · "));
  }
  function sync() {
    caption();
    syncControls(recipe);
    pad.show(recipe.at);
    paintCorners();
    const alone = recipe.corners.length === 1 && /^\d+$/.test(recipe.corners[0]);
    wall.mark(alone ? Number(recipe.corners[0]) : null);
    if (model.gates) styles.show(pins.recipes, recipe.style, pins.images);
    askTiles();
  }

  // The pad's corners and the pins are drawn with the wall.
  const corners = new Map();
  function paintCorners() {
    const four = recipe.corners.length === 4 ? recipe.corners : [recipe.corners[0], ...followers(recipe.corners[0])];
    pad.canvases.forEach((canvas, index) => {
      const key = JSON.stringify([four[index], recipe.truncation, recipe.class_name]);
      canvas.dataset.key = key;
      const image = corners.get(key) ?? (recipe.truncation === 1 && !recipe.class_name ? wall.known.get(Number(four[index])) : null);
      if (image) paint(canvas, image);
      else corners.set(key, null);
    });
    pad.four = four;
  }
  const showTiles = line.showTiles.bind(line);
  let wallTiles = [];
  function askTiles() {
    const own = pad.canvases.filter(canvas => corners.get(canvas.dataset.key) === null).map((canvas, index) => ({
      picture: { ...wallRecipe(0), corners: [pad.four[pad.canvases.indexOf(canvas)]] },
      done: image => { corners.set(canvas.dataset.key, image); paintCorners(); },
    }));
    const pinned = pins.missing.map(pin => ({ picture: pin, done: image => { pins.take(pin, image); comparison.take(pin, image); } }));
    const styled = model.gates ? styles.missing.map(style => ({ picture: style, done: image => styles.take(style, image) })) : [];
    showTiles([...own, ...pinned, ...styled, ...wallTiles].slice(0, 400));
  }
  line.showTiles = tiles => { wallTiles = tiles; askTiles(); };

  $("title").textContent = `Explore ${model.title}`;
  document.title = `${model.title} · handful studio`;
  if (model.run) { $("back").href = address("/run", { name: model.run }); $("back").textContent = model.title; }
  wall.shape = model.height / model.width;
  wall.pixels = model.width;
  $("near").style.setProperty("--shape", `${model.width} / ${model.height}`);
  document.querySelector(".stage").style.aspectRatio = $("pad").style.aspectRatio = `${model.width} / ${model.height}`;
  $("class-field").hidden = !model.classes.length;
  fill($("class"), "as the seed has it", model.classes.map(name => [name, name]), recipe.class_name);
  $("style-field").hidden = !model.gates;
  $("ask").hidden = !model.images;

  line.addEventListener("state", event => write($("waiting"), event.detail));
  line.addEventListener("busy", event => write($("waiting"), event.detail ? `${event.detail} …` : ""));
  line.addEventListener("error", event => tell(event.detail, true));
  line.addEventListener("directions", event => showDirections(event.detail, model.fingerprint, recipe, (index, value) => {
    recipe = { ...recipe, moves: { ...recipe.moves, [index]: value } };
    if (!value) delete recipe.moves[index];
    draw();
    caption();
  }, commit));

  const on = (id, type, action) => $(id).addEventListener(type, action);
  on("truncation", "input", () => { recipe = { ...recipe, truncation: Number($("truncation").value) }; $("truncation-value").textContent = recipe.truncation.toFixed(2); draw(); });
  on("truncation", "change", () => { commit(); paintCorners(); wall.redraw(wallRecipe); });
  on("class", "change", () => { change({ class_name: $("class").value || null }, true); wall.redraw(wallRecipe); });
  on("still", "click", () => change({ moves: {} }, true));
  const step = direction => { const next = past[direction](); if (next) { show(copy(next), false); toAddress(recipe); $("undo").disabled = !past.past.length; $("redo").disabled = !past.future.length; seen.show(past.past); } };
  on("undo", "click", () => step("undo"));
  on("redo", "click", () => step("redo"));
  on("pin", "click", () => pin(copy(recipe), drawn));
  const surprise = () => { const seed = Math.floor(SEEDS * Math.random()); choose(seed); };
  on("surprise", "click", surprise);
  on("others", "click", () => { change({ corners: [recipe.corners[0], ...[1, 2, 3].map(() => String(Math.floor(SEEDS * Math.random())))], at: [0, 0] }, true); });
  on("pinned-corners", "click", doing(async () => {
    const names = await asCorners(source, pins.recipes.slice(0, 4));
    change({ corners: [0, 1, 2, 3].map(index => names[index % names.length]), at: [0, 0], moves: {} }, true);
  }));
  on("jump", "submit", event => { event.preventDefault(); const seed = Number($("seed").value || 0); if (Number.isSafeInteger(seed)) wall.goTo(seed); });
  on("play", "click", () => pins.toggle());
  on("clear", "click", () => { pins.clear(); sync(); });
  takeAlong(source, pins, wall);

  const take = async file => {
    if (/\.safetensors$/i.test(file.name)) show(await takeLatents(source, file, pins));
    else await lookForPhoto(source, file, name => show({ ...plain(0), corners: [name] }));
  };
  for (const id of ["load", "photo"]) on(id, "change", doing(async () => {
    const [file] = $(id).files;
    $(id).value = "";
    if (file) await take(file);
  }));
  onDrop(document.querySelector(".stage"), async given => { const { files } = await given; if (files.length) await take(files[0]); });
  on("ask", "click", doing(() => {
    const asked = copy(recipe);
    return lookForNearest(source, asked, () => same(asked, recipe));
  }));
  $("share").hidden = false;
  on("share", "click", () => {
    if (!shared) showWays(source, model.run, () => {});
    shared = true;
    $("sharing").showModal();
  });

  addEventListener("keydown", event => {
    if (event.target.matches('input:not([type="range"]), select, textarea') || document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); step(event.shiftKey ? "redo" : "undo"); }
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key === "p") $("pin").click();
    else if (event.key === "r") surprise();
    else if (event.key === "c") comparison.open();
  });

  const narrow = matchMedia("(max-width: 59.99rem)");
  const foldTools = () => { $("tools").open = !narrow.matches; };
  narrow.addEventListener("change", foldTools);
  foldTools();
  pins.show();
  show(recipe, false);
  commit();
  $("undo").disabled = $("redo").disabled = true;
}
