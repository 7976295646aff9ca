// What the picture is: a recipe, its history, and its pins. The address keeps the recipe.

const MOST = 200;

export const plain = seed => ({ corners: [String(seed)], at: [0, 0], moves: {}, truncation: 1, class_name: null, style: null });

export class History {
  constructor(recipe) {
    this.past = [];
    this.future = [];
    this.now = recipe;
  }

  /** Remembers a recipe that the user settled on. */
  commit(recipe) {
    if (same(recipe, this.now)) return;
    this.past.push(this.now);
    if (this.past.length > MOST) this.past.shift();
    this.future = [];
    this.now = recipe;
  }

  undo() { return this.swap(this.past, this.future); }

  redo() { return this.swap(this.future, this.past); }

  swap(from, to) {
    if (!from.length) return null;
    to.push(this.now);
    this.now = from.pop();
    return this.now;
  }
}

export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export const copy = recipe => structuredClone(recipe);

/** Says in a few words what a recipe is. */
export function words(recipe) {
  const name = corner => /^\d+$/.test(corner) ? `seed ${corner}` : corner;
  const [x, y] = recipe.at;
  const alone = recipe.corners.length === 1 || (x === 0 && y === 0);
  const shares = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  const parts = alone ? [name(recipe.corners[0])] : recipe.corners.filter((_, i) => shares[i] > 0.005).map(name);
  const short = parts.map(part => part.replace("seed ", ""));
  const said = parts.length > 1 ? `between ${short.slice(0, -1).join(", ")} and ${short.at(-1)}` : parts[0];
  return said[0].toUpperCase() + said.slice(1);
}

/** The name that a picture is saved under. */
export const fileName = recipe => `${words(recipe).toLowerCase().replaceAll(/[^\w]+/g, "-")}.png`;

/** Reads the recipe of an address; null if it has none that could be one. */
export function fromAddress() {
  try {
    const value = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    if (!Array.isArray(value.corners)) return null;
    const style = Array.isArray(value.style?.corners) ? { ...plain(0), ...value.style, style: null } : null;
    return { ...plain(0), ...value, style };
  } catch {
    return null;
  }
}

export const toAddress = recipe => history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(recipe))}`);
