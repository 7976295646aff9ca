// What a user takes along from the page: films, grids, latent files.
import { address, doing, download, post, send, waitFor } from "./api.js";
import { $, write } from "./build.js";
import { plain } from "./state.js";

const IN_GRID = 36;

/** Shows how far a piece of work is. */
export function work(task) {
  $("work").hidden = !task;
  if (!task) return;
  write($("work-words"), `${task.what} …`);
  if (task.total) { $("work-bar").max = task.total; $("work-bar").value = task.done; } else $("work-bar").removeAttribute("value");
}

async function make(path, body) {
  const task = await waitFor(await post(path, body), work);
  download(address("/api/task/file", { name: task.name }), task.result.file);
}

/** Lets the buttons make files of the pins, and of the wall from a first seed on. */
export function takeAlong(source, pins, wall) {
  const on = (id, action) => $(id).addEventListener("click", doing(action));
  on("film", () => make("/api/film", { source, pictures: pins.recipes, seconds: Number($("pace").value), loop: $("loop").checked }));
  on("grid", () => make("/api/grid", { source, pictures: pins.recipes }));
  on("wall-grid", () => {
    const first = wall.firstInSight;
    return make("/api/grid", { source, pictures: Array.from({ length: IN_GRID }, (_, index) => wall.recipe(first + index)) });
  });
  on("save", async () => {
    const answer = await send("/api/latents/save", JSON.stringify({ source, pictures: pins.recipes }));
    const url = URL.createObjectURL(await answer.blob());
    download(url, "latents.safetensors");
    URL.revokeObjectURL(url);
  });
}

/** Returns names for corners of the pad: seeds as they are, and the latents of other pictures. */
export async function asCorners(source, recipes) {
  const isSeed = recipe => recipe.corners.length === 1 && !Object.keys(recipe.moves).length;
  const others = recipes.filter(recipe => !isSeed(recipe));
  if (!others.length) return recipes.map(recipe => recipe.corners[0]);
  const saved = await send("/api/latents/save", JSON.stringify({ source, pictures: others }));
  const { names } = await (await send("/api/latents/load", await saved.blob(), { source })).json();
  return recipes.map(recipe => isSeed(recipe) ? recipe.corners[0] : names[others.indexOf(recipe)]);
}

/** Takes latents of a file among the pins, and returns the first. */
export async function takeLatents(source, file, pins) {
  const { names } = await (await send("/api/latents/load", file, { source })).json();
  names.forEach(name => pins.add({ ...plain(0), corners: [name] }));
  return { ...plain(0), corners: [names[0]] };
}
