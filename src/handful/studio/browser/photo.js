// What stands beside a picture: the training images nearest to it, or the photo that it was made after.
import { post, send, waitFor } from "./api.js";
import { $, h, write } from "./build.js";

const CLOSE = 0.6;

/** Shows words, images and how far the work is that looks for more. */
function show(words, images = [], task = null) {
  $("near").hidden = false;
  write($("near-words"), words);
  $("near-bar").hidden = !task;
  if (task?.total) { $("near-bar").max = task.total; $("near-bar").value = task.done; } else $("near-bar").removeAttribute("value");
  const shown = [...$("near-list").querySelectorAll("img")].map(image => image.src);
  if (JSON.stringify(shown) === JSON.stringify(images.map(image => image.src))) return;
  $("near-list").replaceChildren(...images.map(({ src, alt, caption, title }) => h("li", {}, h("img", { src, alt }), h("span", { title }, caption))));
}

export const hideNear = () => { $("near").hidden = true; };

const verdict = found => found.copy ? "This is a copy of a training image." : found.neighbours[0].ratio < CLOSE
  ? "It is close to a training image."
  : "It is new: no training image is as near as a copy would be.";

/** Looks for the training images nearest to a picture, and shows them while that picture is still there. */
export async function lookForNearest(source, picture, isThere) {
  const task = await post("/api/neighbours", { source, picture });
  try {
    const { result } = await waitFor(task, task => { if (task && isThere()) show(`${task.what} …`, [], task); });
    if (isThere()) show(verdict(result), result.neighbours.map(({ name, ratio, picture: src }) =>
      ({ src, alt: `Training image ${name}`, caption: `${ratio.toFixed(2)} ${name}`, title: name })));
  } catch (error) {
    if (isThere()) hideNear();
    throw error;
  }
}

/** Looks for the picture nearest to a photo; `done` shows it. */
export async function lookForPhoto(source, file, done) {
  const own = URL.createObjectURL(file), image = src => ({ src, alt: "Your photo", caption: "your photo", title: file.name });
  show("Sending your photo …", [image(own)]);
  try {
    const task = await (await send("/api/project", file, { source, file: file.name })).json();
    const { result } = await waitFor(task, task => { if (task) show(`${task.what} …`, [image(own)], task); });
    done(result.name);
    show(`The nearest that this model can draw: ${result.measured}.`, [image(result.photo)]);
  } catch (error) {
    hideNear();
    throw error;
  } finally {
    URL.revokeObjectURL(own);
  }
}
