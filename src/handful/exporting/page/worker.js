// Draws pictures beside the page, so that the page never waits.

import { Generator } from "./generator.js";
import { drawSeed } from "./random.js";

let generator;
let model;
const recent = new Map(); // latents and noise maps of the seeds drawn last

const handlers = {
  async start({ description, text, weights }) {
    model = description;
    if (text) {
      postMessage({ kind: "progress", text: "Unpacking the weights" });
      weights = await unpack(text);
    }
    generator = await Generator.create(model, weights);
    postMessage({ kind: "ready", weights });
  },

  draw({ id, place, strengths, className, truncation }) {
    const [left, right] = [0, 1].map((column) => between(inputs(place, column), inputs(place, column + 2), place.y));
    const { z, noise } = between(left, right, place.x);
    const pixels = generator.draw(moved(z, strengths), noise, shares(place, className), truncation);
    postMessage({ kind: "drawn", id, pixels }, [pixels.buffer]);
  },
};

onmessage = async ({ data }) => {
  try {
    await handlers[data.kind](data);
  } catch (error) {
    postMessage({ kind: "failed", text: String(error?.message ?? error) });
  }
};

/** Return numbers from base64 of compressed planes: all first bytes, then all second ones, and so on. */
async function unpack(text) {
  const coded = atob(text);
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = coded.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / 4;
  const words = new Uint32Array(count);
  for (let i = 0; i < count; i++)
    words[i] = planes[i] | (planes[count + i] << 8) | (planes[2 * count + i] << 16) | (planes[3 * count + i] << 24);
  return new Float32Array(words.buffer);
}

/** Return the latent and noise of one of the four seeds of a place; those that have no share are not drawn. */
function inputs({ seed, x, y }, corner) {
  if (((corner & 1) === 1 && x === 0) || (corner > 1 && y === 0)) return null;
  const own = seed + corner;
  const found = recent.get(own) ?? drawSeed(own, model.latent, model.noise);
  recent.delete(own);
  recent.set(own, found);
  if (recent.size > 8) recent.delete(recent.keys().next().value);
  return found;
}

/** Return inputs at a fraction of the way from one to another; at 0 and 1 they are those inputs themselves. */
function between(first, second, fraction) {
  if (fraction === 0 || !second) return first;
  if (fraction === 1) return second;
  const noise = first.noise.map((map, site) => slerp(map, second.noise[site], fraction));
  return { z: slerp(first.z, second.z, fraction), noise };
}

/** Interpolate on the arc between two vectors, lengths linearly: `latent.slerp`. */
function slerp(start, end, fraction) {
  const [first, last] = [length(start), length(end)];
  let dot = 0;
  for (let i = 0; i < start.length; i++) dot += start[i] * end[i];
  const angle = Math.acos(Math.min(Math.max(dot / (first * last), -1 + 1e-6), 1 - 1e-6));
  const scale = (first + (last - first) * fraction) / Math.sin(angle);
  const near = (Math.sin((1 - fraction) * angle) / first) * scale;
  const far = (Math.sin(fraction * angle) / last) * scale;
  return start.map((value, i) => near * value + far * end[i]);
}

const length = (vector) => Math.max(Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)), 1e-12);

/** Move a latent along the directions and scale it back to its length: `directions.move`. */
function moved(z, strengths) {
  if (!strengths.some(Boolean)) return z;
  const vectors = generator.slice(model.directions);
  const result = z.map((value, i) => strengths.reduce((sum, by, row) => sum + by * vectors[row * z.length + i], value));
  const scale = length(z) / length(result);
  return result.map((value) => value * scale);
}

/** Return the share of each class: that of the chosen one, or those of the four seeds, which take classes in turn. */
function shares({ seed, x, y }, className) {
  const count = model.classes.length;
  if (!count) return null;
  const result = new Float32Array(count);
  const parts = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  const chosen = model.classes.indexOf(className);
  parts.forEach((share, corner) => (result[chosen < 0 ? (seed + corner) % count : chosen] += share));
  return result;
}
