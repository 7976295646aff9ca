// The folded generator: turns a latent, noise maps and shares of classes into a picture.

import { compileKernel } from "./kernel.js";

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/** A map whose rows are one pixel longer than the picture: that pixel pads the end of one row and the start of the next. */
class Padded {
  constructor(channels, height, width) {
    Object.assign(this, { channels, height, width, row: width + 1 });
    this.count = Math.ceil((height * this.row) / 8) * 8;
    this.plane = (height + 2) * this.row + 24;
    this.data = new Float32Array(channels * this.plane);
  }

  at(y, x) {
    return (y + 1) * this.row + x + 1;
  }
}

export class Generator {
  /** Read a model: `model` describes the layers, and `weights` holds their numbers as the kernel wants them. */
  static async create(model, weights) {
    const own = new Generator();
    Object.assign(own, { model, weights });
    const largest = Math.max(...model.layers.map((layer) => own.room(layer)));
    own.start = Math.ceil((weights.byteLength + 1024) / 16) * 16;
    own.memory = new WebAssembly.Memory({ initial: Math.ceil((own.start + largest) / 65536) + 1 });
    new Float32Array(own.memory.buffer, 1024, weights.length).set(weights);
    own.convolve = await compileKernel(own.memory);
    return own;
  }

  /** Return the bytes that a layer's input and output take. */
  room({ channels, outputs, height, width, phases }) {
    const map = new Padded(0, height, width);
    const planes = Math.ceil(outputs / 4) * 4 * phases.length;
    return 4 * (channels * map.plane + planes * map.count + 64);
  }

  slice([start, length]) {
    return this.weights.subarray(start, start + length);
  }

  /** Return a picture as straight bytes, `channels` a pixel. */
  draw(latent, noise, shares, truncation) {
    const { model } = this;
    const z = truncation < 1 ? this.truncated(latent, truncation) : latent;
    const kept = { 4: this.modulate(this.first(z), 4, shares) };
    let map = kept[4];
    let site = 0;
    for (const layer of model.layers.slice(0, -1)) {
      map = this.block(layer, map, layer.strength ? noise[site++] : null);
      if (!layer.ends) continue;
      map = this.modulate(map, layer.ends, shares);
      const gate = model.gates[layer.ends];
      if (gate) this.excite(map, this.gate(gate, kept[gate.source], shares, truncation));
      kept[layer.ends] = map;
    }
    return this.bytes(map);
  }

  /** See `Truncation.latents`. */
  truncated(z, truncation) {
    const pull = this.slice(this.model.pull);
    const inner = Float64Array.from(z);
    for (let i = 0; i < z.length; i++)
      for (let j = 0; j < z.length; j++) inner[j] -= (1 - truncation) * z[i] * pull[i * z.length + j];
    const scale = Math.hypot(...z) / Math.max(Math.hypot(...inner), 1e-12);
    return Float32Array.from(inner, (value) => value * scale);
  }

  /** Return the base map of a latent. */
  first(z) {
    const { channels, height, width, weight, bias } = this.model.first;
    const sums = this.slice(bias).slice();
    const table = this.slice(weight);
    for (let i = 0, at = 0; i < z.length; i++) for (let j = 0; j < sums.length; j++) sums[j] += z[i] * table[at++];
    const map = new Padded(channels, height, width);
    const half = channels * height * width;
    for (let c = 0, at = 0; c < channels; c++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++, at++)
          map.data[c * map.plane + map.at(y, x)] = sums[at] * sigmoid(sums[half + at]);
    return map;
  }

  /** Convolve a map; return planes of `map.count` numbers, with rows as long as the map's, one set for each phase. */
  convolved(layer, map) {
    const planes = Math.ceil(layer.outputs / 4) * 4;
    const input = this.start;
    const output = input + 4 * map.data.length + ((16 - ((4 * map.data.length) % 16)) % 16);
    new Float32Array(this.memory.buffer, input, map.data.length).set(map.data);
    const offsets = new Int32Array(this.memory.buffer, 0, 16);
    layer.phases.forEach(({ taps, start }, phase) => {
      taps.forEach(([y, x], tap) => (offsets[tap] = 4 * map.at(y, x)));
      const block = 16 * (1 + map.channels * taps.length);
      for (let channel = 0; channel < planes; channel += 4) {
        const to = output + 4 * (phase * planes + channel) * map.count;
        const from = 1024 + 4 * start + (channel / 4) * block;
        const end = input + 4 * map.data.length;
        this.convolve(input, 4 * map.plane, end, 0, 4 * taps.length, from, to, 4 * map.count, to + 4 * map.count);
      }
    });
    return new Float32Array(this.memory.buffer, output, layer.phases.length * planes * map.count);
  }

  /** Convolve, add noise and apply the gate: `FoldedConv`. */
  block(layer, map, noise) {
    const sums = this.convolved(layer, map);
    const scale = layer.phases.length === 4 ? 2 : 1;
    const [height, width] = [scale * map.height, scale * map.width];
    const result = new Padded(layer.outputs / 2, height, width);
    const half = result.channels * map.count;
    const planes = Math.ceil(layer.outputs / 4) * 4 * map.count;
    const strength = layer.strength && this.slice(layer.strength);
    for (let c = 0; c < result.channels; c++) {
      const [first, second] = strength ? [strength[c], strength[c + result.channels]] : [0, 0];
      for (let y = 0; y < height; y++) {
        let to = c * result.plane + result.at(y, 0);
        for (let x = 0; x < width; x++) {
          const from =
            scale === 1
              ? c * map.count + y * map.row + x
              : (2 * (y & 1) + (x & 1)) * planes + c * map.count + (y >> 1) * map.row + (x >> 1);
          const dot = noise ? noise[y * width + x] : 0;
          result.data[to++] = (sums[from] + first * dot) * sigmoid(sums[from + half] + second * dot);
        }
      }
    }
    return result;
  }

  /** Scale and shift each channel by shares of classes. */
  modulate(map, size, shares) {
    const place = this.model.tables[size];
    if (!place) return map;
    const rows = mixed(this.slice(place), shares);
    for (let c = 0; c < map.channels; c++)
      this.each(map, c, (value) => value * (1 + rows[c]) + rows[c + map.channels]);
    return map;
  }

  /** Change each pixel of a channel, but not the padding. */
  each(map, channel, change) {
    for (let y = 0; y < map.height; y++) {
      const start = channel * map.plane + map.at(y, 0);
      for (let at = start; at < start + map.width; at++) map.data[at] = change(map.data[at]);
    }
  }

  excite(map, gates) {
    for (let c = 0; c < map.channels; c++) this.each(map, c, (value) => value * gates[c]);
  }

  /** Return the gates that a low map sets, moved towards their mean below truncation 1. */
  gate({ squeeze, excite, mean, outputs, factor }, map, shares, truncation) {
    const [height, width] = [map.height / factor, map.width / factor];
    const pooled = new Float64Array(map.channels * height * width);
    for (let c = 0; c < map.channels; c++)
      for (let y = 0; y < map.height; y++)
        for (let x = 0; x < map.width; x++) {
          const to = (c * height + Math.floor(y / factor)) * width + Math.floor(x / factor);
          pooled[to] += map.data[c * map.plane + map.at(y, x)] / factor ** 2;
        }
    const hidden = product(this.slice(squeeze), pooled, outputs).map((value) => value * sigmoid(value));
    const own = product(this.slice(excite), hidden, outputs).map(sigmoid);
    const means = mixed(this.slice(mean), shares);
    return own.map((value, c) => value - (value - means[c]) * (1 - truncation));
  }

  /** Return the picture of the last map; rounding as `to_bytes`, straight alpha as Pillow computes it. */
  bytes(map) {
    const { channels } = this.model;
    const sums = this.convolved(this.model.layers.at(-1), map);
    const result = new Uint8ClampedArray(map.height * map.width * channels);
    for (let y = 0, to = 0; y < map.height; y++)
      for (let x = 0; x < map.width; x++, to += channels) {
        for (let c = 0; c < channels; c++) {
          const value = Math.fround(Math.tanh(sums[c * map.count + y * map.row + x]));
          result[to + c] = Math.fround(Math.fround(value + 1) * 127.5); // a clamped array rounds half to even
        }
        const alpha = result[to + 3];
        if (channels === 4 && alpha > 0)
          for (let c = 0; c < 3; c++) result[to + c] = Math.floor((255 * result[to + c]) / alpha);
      }
    return result;
  }
}

/** Return the mean of a table's rows, weighted by shares; the only row if there are no classes. */
function mixed(table, shares) {
  if (!shares) return table;
  const length = table.length / shares.length;
  const row = new Float64Array(length);
  shares.forEach((share, index) => {
    if (share) for (let i = 0; i < length; i++) row[i] += share * table[index * length + i];
  });
  return row;
}

/** Multiply a matrix of `rows` rows by a vector. */
function product(matrix, vector, rows) {
  const result = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++) for (let j = 0; j < vector.length; j++) result[i] += matrix[at++] * vector[j];
  return result;
}
