// Latents and noise maps of a seed: the same numbers that handful draws with PyTorch on a CPU.

const f = Math.fround;

const PICTURE = 1; // seeds.Purpose.PICTURE

/** Return the low 32 bits of `seeds.fold(Purpose.PICTURE, seed)`: PyTorch's generator uses no more. Source: NumPy's SeedSequence. */
export function fold(seed) {
  const words = [PICTURE, seed >>> 0];
  const high = Math.floor(seed / 2 ** 32);
  if (high) words.push(high);
  let constant = 0x43b0d7e5;
  const hash = (value) => {
    value = (value ^ constant) >>> 0;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x, y) => {
    const mixed = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((index) => hash(words[index] ?? 0));
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  const state = Math.imul(pool[0] ^ 0x8b51f9dd, Math.imul(0x8b51f9dd, 0x58f38ded));
  return (state ^ (state >>> 16)) >>> 0;
}

/** Mersenne Twister, MT19937 (Matsumoto and Nishimura 1998). */
export class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.next = 624;
    this.spare = null;
  }

  /** Return 32 random bits. */
  bits() {
    const s = this.state;
    if (this.next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** Return a number in [0, 1) of 24 random bits. */
  uniform() {
    return (this.bits() & 0xffffff) / 2 ** 24;
  }

  /** Return a number in [0, 1) of 53 random bits. */
  uniformDouble() {
    const high = this.bits();
    return ((high & 0x1fffff) * 2 ** 32 + this.bits()) / 2 ** 53;
  }
}

/** Draw `count` numbers as `torch.randn(count)` does, which takes another path below 16 of them. */
export function normal(random, count) {
  const values = new Float32Array(count);
  if (count < 16) {
    for (let i = 0; i < count; i++) values[i] = single(random);
    return values;
  }
  for (let i = 0; i < count; i++) values[i] = random.uniform();
  for (let i = 0; i + 16 <= count; i += 16) boxMuller(values, i);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) values[i] = random.uniform();
    boxMuller(values, count - 16);
  }
  return values;
}

/** Draw one number of the path for few numbers: Box-Muller in double precision, two numbers at a time. */
function single(random) {
  if (random.spare !== null) {
    const spare = random.spare;
    random.spare = null;
    return spare;
  }
  const turn = 2 * Math.PI * random.uniformDouble();
  const radius = Math.sqrt(-2 * Math.log1p(-random.uniformDouble()));
  random.spare = radius * Math.sin(turn);
  return radius * Math.cos(turn);
}

/** Turn 16 uniform numbers into normal ones, in float32 as PyTorch's AVX2 code does. */
function boxMuller(values, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = f(Math.sqrt(f(-2 * log(f(1 - values[i])))));
    const [sin, cos] = sinCos(f(f(2 * Math.PI) * values[i + 8]));
    values[i] = f(radius * cos);
    values[i + 8] = f(radius * sin);
  }
}

const view = new DataView(new ArrayBuffer(4));

const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f);

/** Return the logarithm of a number in (0, 1]. Source: logf of the Cephes library, with fused products and sums. */
function log(value) {
  view.setFloat32(0, value);
  const bits = view.getInt32(0);
  let e = (bits >>> 23) - 126;
  view.setInt32(0, (bits & 0x807fffff) | 0x3f000000);
  let x = view.getFloat32(0);
  if (x < f(Math.SQRT1_2)) {
    e -= 1;
    x = f(f(x - 1) + x);
  } else x = f(x - 1);
  const z = f(x * x);
  let y = LOG[0];
  for (let i = 1; i < 9; i++) y = f(y * x + LOG[i]);
  y = f(f(y * x) * z + f(e * f(-2.1219444e-4)));
  y = f(y - z * 0.5);
  return f(e * 0.693359375 + f(x + y));
}

const [SIN, COS, PARTS] = [
  [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1],
  [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2],
  [-0.78515625, -2.4187564849853516e-4, -3.774894977445941e-8],
].map((numbers) => numbers.map(f));

/** Return sine and cosine of a number from 0 to 2 pi. Source: sinf and cosf of the Cephes library, likewise. */
function sinCos(value) {
  const octant = (Math.trunc(f(value * f(1.27323954473516))) + 1) & ~1;
  let x = value;
  for (const part of PARTS) x = f(octant * part + x);
  const z = f(x * x);
  let cos = COS[0];
  for (const factor of COS.slice(1)) cos = f(cos * z + factor);
  cos = f(f(f(cos * z) * z - z * 0.5) + 1);
  let sin = SIN[0];
  for (const factor of SIN.slice(1)) sin = f(sin * z + factor);
  sin = f(f(sin * z) * x + x);
  const swapped = (octant & 2) !== 0;
  const signSin = octant & 4 ? -1 : 1;
  const signCos = (octant - 2) & 4 ? 1 : -1;
  return [signSin * (swapped ? cos : sin), signCos * (swapped ? sin : cos)];
}

/** Return a seed's latent and noise maps, in the order in which `latent.draw` draws them. */
export function drawSeed(seed, length, noiseShapes) {
  const random = new Twister(fold(seed));
  const z = normal(random, length);
  return { z, noise: noiseShapes.map(([height, width]) => normal(random, height * width)) };
}
