// An endless wall of seeds. Only tiles in sight are elements; the rest is a height that grows.
import { paint } from "./connection.js";
import { h } from "./build.js";

const LEAST = 92, GAP = 4, SCREENS = 3, REMEMBERED = 1500, BEYOND = 400, PAUSE = 60;

export class Wall {
  constructor(element, connection, choose, pin) {
    Object.assign(this, { element, connection, choose, pin, first: 0, tiles: new Map(), known: new Map(), chosen: null });
    this.recipe = seed => ({ corners: [String(seed)] });
    this.shape = 1;
    this.pixels = 64;
    new ResizeObserver(() => this.lay()).observe(element);
    addEventListener("scroll", () => this.lay(), { passive: true });
    element.addEventListener("keydown", event => this.key(event));
  }

  /** Forgets what was drawn, as after another class was chosen. */
  redraw(recipe) {
    this.recipe = recipe;
    this.known.clear();
    this.ask();
  }

  goTo(seed) {
    this.first = seed;
    this.tiles.forEach(tile => tile.remove());
    this.tiles.clear();
    this.lay();
    this.focus(seed);
  }

  /** The first seed of the first row that is wholly in sight. */
  get firstInSight() {
    const above = -this.element.getBoundingClientRect().top;
    return this.first + Math.max(0, Math.ceil(above / this.row)) * this.columns;
  }

  measure() {
    const width = this.element.clientWidth;
    this.columns = Math.max(2, Math.floor((width + GAP) / (Math.max(LEAST, Math.min(this.pixels, 160)) + GAP)));
    this.side = (width + GAP) / this.columns - GAP;
    this.row = this.side * this.shape + GAP;
  }

  lay() {
    if (!this.element.clientWidth) return;
    this.measure();
    const top = -this.element.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor((top - BEYOND) / this.row)), to = Math.ceil((top + innerHeight + BEYOND) / this.row);
    const rows = Math.max(to + Math.ceil(SCREENS * innerHeight / this.row), this.rows ?? 0);
    this.rows = rows;
    this.element.style.height = `${rows * this.row}px`;
    const wanted = new Set();
    for (let index = from * this.columns; index < Math.max(to, from + 1) * this.columns; index++) wanted.add(this.first + index);
    for (const [seed, tile] of this.tiles) if (!wanted.has(seed)) { tile.remove(); this.tiles.delete(seed); }
    for (const seed of wanted) this.place(seed);
    this.ask();
  }

  place(seed) {
    let tile = this.tiles.get(seed);
    if (!tile) {
      tile = h("button", { class: "tile", "aria-label": `Seed ${seed}`, tabindex: "-1", onclick: () => this.choose(seed) }, h("canvas", { "aria-hidden": "true" }));
      this.tiles.set(seed, tile);
      this.element.append(tile);
      if (this.known.has(seed)) paint(tile.firstChild, this.known.get(seed));
    }
    tile.classList.toggle("chosen", seed === this.chosen);
    const index = seed - this.first;
    tile.style.width = `${this.side}px`;
    tile.style.height = `${this.side * this.shape}px`;
    tile.style.transform = `translate(${(index % this.columns) * (this.side + GAP)}px, ${Math.floor(index / this.columns) * this.row}px)`;
    tile.tabIndex = seed === (this.chosen ?? this.first) || (index === 0 && !this.tiles.has(this.chosen)) ? 0 : -1;
  }

  ask() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const missing = [...this.tiles.keys()].filter(seed => !this.known.has(seed)).sort((a, b) => a - b).slice(0, 400);
      this.connection.showTiles(missing.map(seed => ({ picture: this.recipe(seed), done: image => this.take(seed, image) })));
    }, PAUSE);
  }

  take(seed, image) {
    this.known.set(seed, image);
    if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
    const tile = this.tiles.get(seed);
    if (tile) paint(tile.firstChild, image);
  }

  mark(seed) {
    this.chosen = seed;
    this.lay();
  }

  focus(seed) {
    const index = seed - this.first;
    if (index < 0) return;
    this.tiles.forEach(tile => { tile.tabIndex = -1; });
    const row = this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.row;
    if (row < 60 || row + this.row > innerHeight) scrollBy({ top: row < 60 ? row - 60 : row + this.row - innerHeight + 8 });
    this.lay();
    const tile = this.tiles.get(seed);
    if (tile) { tile.tabIndex = 0; tile.focus({ preventScroll: true }); }
  }

  key(event) {
    const seed = [...this.tiles].find(([, tile]) => tile === event.target)?.[0];
    if (seed === undefined || event.ctrlKey || event.metaKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageDown: 4 * this.columns, PageUp: -4 * this.columns }[event.key];
    if (by) { event.preventDefault(); this.focus(Math.max(this.first, seed + by)); }
    if (event.key === "p") { event.stopPropagation(); this.pin(seed); }
  }
}
