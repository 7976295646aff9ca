// Rows of small pictures: styles to borrow, and pictures that were shown before.
import { $, h, refill } from "./build.js";
import { paint } from "./connection.js";
import { plain, same, words } from "./state.js";

const SEEDS = [0, 1, 2, 3], MOST = 12, SHOWN = 8;

const bare = recipe => ({ ...recipe, style: null });

function thumb(name, image, attributes) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  if (image) paint(canvas, image);
  return h("li", {}, h("button", { "aria-label": name, title: name, ...attributes }, canvas));
}

/** Pictures whose colours and texture another one can take: itself, the pins, a few seeds. */
export class Styles {
  constructor(choose) {
    Object.assign(this, { choose, recipes: [], images: new Map(), chosen: null });
  }

  show(pinned, chosen, drawn) {
    this.chosen = chosen;
    const all = [...(chosen ? [chosen] : []), ...pinned.map(bare), ...SEEDS.map(plain)];
    this.recipes = all.filter((recipe, index) => all.findIndex(other => same(other, recipe)) === index).slice(0, MOST);
    for (const [recipe, image] of drawn) if (!recipe.style) this.images.set(JSON.stringify(bare(recipe)), image);
    const itself = h("li", {}, h("button", { class: "itself", "aria-pressed": String(!chosen), onclick: () => this.choose(null) }, "itself"));
    refill($("styles"), [itself, ...this.recipes.map(recipe => thumb(words(recipe), this.images.get(JSON.stringify(recipe)),
      { "aria-pressed": String(same(recipe, chosen)), onclick: () => this.choose(recipe) }))]);
  }

  get missing() { return this.recipes.filter(recipe => !this.images.has(JSON.stringify(recipe))); }

  take(recipe, image) {
    this.images.set(JSON.stringify(recipe), image);
    const canvas = $("styles").children[1 + this.recipes.findIndex(other => same(other, recipe))]?.querySelector("canvas");
    if (canvas) paint(canvas, image);
  }
}

/** The pictures before the one that is shown, the newest first. A click goes back to one. */
export class Past {
  constructor(choose) {
    Object.assign(this, { choose, images: new WeakMap() });
  }

  /** Remembers how a recipe of the history looks. */
  take(recipe, image) { this.images.set(recipe, image); }

  show(recipes) {
    const known = recipes.filter(recipe => this.images.has(recipe)).slice(-SHOWN).reverse();
    $("past").hidden = !known.length;
    refill($("past"), known.map(recipe => thumb(`Back to ${words(recipe)}`, this.images.get(recipe), { onclick: () => this.choose(recipe) })));
  }
}
