// The one loop that takes time, as WebAssembly with SIMD, assembled here so that there is nothing to compile or fetch.

const [GET, SET, CONST, ADD, LESS, LOAD] = [0x20, 0x21, 0x41, 0x6a, 0x49, 0x28];

const number = (value) => {
  const bytes = [];
  do bytes.push((value & 127) | (value > 127 ? 128 : 0));
  while ((value >>>= 7));
  return bytes;
};

const signed = (value) => (value < 64 ? [value] : [(value & 127) | 128, ...signed(value >> 7)]);

const section = (id, bytes) => [id, ...number(bytes.length), ...bytes];

const get = (local) => [GET, local];
const advance = (local, by) => [...get(local), ...by, ADD, SET, local];
const constant = (value) => [CONST, ...signed(value)];
const load = (offset) => [0xfd, 0x00, 0, ...number(offset)];
const splat = (offset) => [0xfd, 0x09, 0, ...number(offset)];
const store = (offset) => [0xfd, 0x0b, 0, ...number(offset)];
const PLUS = [0xfd, 0xe4, 1];
const TIMES = [0xfd, 0xe6, 1];

/** Repeat `body` until `counter`, which it advances, reaches `end`. */
const repeat = (counter, end, body) => [0x03, 0x40, ...body, ...get(counter), ...get(end), LESS, 0x0d, 0, 0x0b];

/** Return the body of `convolve`; see `compileKernel`. Locals 7 to 14 are addresses, 15 to 25 vectors. */
function assemble() {
  const [input, stride, inputEnd, offsets, offsetsEnd, weights, output] = [0, 1, 2, 3, 4, 5, 6];
  const [outputStride, outputEnd] = [7, 8];
  const [row, weight, tap, address, sums, left, right, factor] = [9, 10, 11, 12, 13, 21, 22, 23];
  const [plane, source] = [24, 25];
  const four = [0, 1, 2, 3];
  const begin = four.flatMap((o) => [...get(weights), ...splat(4 * o), SET, sums + o, ...get(sums + o), SET, sums + 4 + o]);
  const add = (sum, values) => [...get(sum), ...get(values), ...get(factor), ...TIMES, ...PLUS, SET, sum];
  const oneTap = [
    ...[...get(row), ...get(tap), LOAD, 2, 0, ADD, SET, address],
    ...[...get(address), ...load(0), SET, left, ...get(address), ...load(16), SET, right],
    ...four.flatMap((o) => [...get(weight), ...splat(4 * o), SET, factor, ...add(sums + o, left), ...add(sums + 4 + o, right)]),
    ...advance(weight, constant(16)),
    ...advance(tap, constant(4)),
  ];
  const oneChannel = [
    ...[...get(offsets), SET, tap],
    ...repeat(tap, offsetsEnd, oneTap),
    ...advance(row, get(stride)),
    ...advance(plane, get(stride)),
  ];
  const write = four.flatMap((o) => [
    ...[...get(source), ...get(sums + o), ...store(0), ...get(source), ...get(sums + 4 + o), ...store(16)],
    ...advance(source, get(outputStride)),
  ]);
  const eightPixels = [
    ...begin,
    ...[...get(input), SET, row, ...get(input), SET, plane],
    ...[...get(weights), ...constant(16), ADD, SET, weight],
    ...repeat(plane, inputEnd, oneChannel),
    ...[...get(output), SET, source],
    ...write,
    ...advance(input, constant(32)),
    ...advance(inputEnd, constant(32)),
    ...advance(output, constant(32)),
  ];
  return repeat(output, outputEnd, eightPixels);
}

/** Compile `convolve(input, stride, inputEnd, offsets, offsetsEnd, weights, output, outputStride, outputEnd)`.
 *
 * It computes four channels of a convolution, eight pixels at a time. All arguments are addresses and distances in
 * bytes. `offsets` lists where a tap finds its pixel; `weights` has four biases, then four weights for each channel
 * and tap.
 */
export async function compileKernel(memory) {
  const I32 = 0x7f;
  const V128 = 0x7b;
  const body = [3, 4, I32, 11, V128, 2, I32, ...assemble(), 0x0b];
  const text = (word) => [word.length, ...new TextEncoder().encode(word)];
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 9, ...Array(9).fill(I32), 0]),
    ...section(2, [1, ...text("page"), ...text("memory"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text("convolve"), 0, 0]),
    ...section(10, [1, ...number(body.length), ...body]),
  ];
  const { instance } = await WebAssembly.instantiate(new Uint8Array(bytes), { page: { memory } });
  return instance.exports.convolve;
}
