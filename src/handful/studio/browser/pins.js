// Pinned pictures, and the walk from one to the next.
import { $, h, refill, write } from "./build.js";
import { paint } from "./connection.js";
import { plural } from "./words.js";
import { words } from "./state.js";

export class Pins {
  constructor(key, choose, play) {
    Object.assign(this, { key, choose, playing: false, step: play });
    this.recipes = JSON.parse(sessionStorage.getItem(key) ?? "[]");
    this.images = new Map();
  }

  add(recipe, image) {
    this.recipes.push(recipe);
    if (image) this.images.set(recipe, image);
    this.show();
  }

  remove(recipe) {
    this.recipes = this.recipes.filter(other => other !== recipe);
    this.images.delete(recipe);
    this.show();
  }

  clear() {
    this.recipes = [];
    this.images.clear();
    this.show();
  }

  take(recipe, image) {
    this.images.set(recipe, image);
    const canvas = $("pins").children[this.recipes.indexOf(recipe)]?.querySelector("canvas");
    if (canvas) paint(canvas, image);
  }

  get missing() { return this.recipes.filter(recipe => !this.images.has(recipe)); }

  show() {
    sessionStorage.setItem(this.key, JSON.stringify(this.recipes));
    const enough = this.recipes.length > 1;
    $("walk").hidden = !this.recipes.length;
    for (const id of ["play", "film", "compare"]) $(id).disabled = !enough;
    $("pinned-corners").hidden = !enough;
    if (!enough) this.stop();
    write($("pins-words"), enough ? plural(this.recipes.length, "picture") : this.recipes.length ? "Pin one more to walk between them." : "Pin pictures to walk from one to the next.");
    refill($("pins"), this.recipes.map((recipe, index) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      if (this.images.has(recipe)) paint(canvas, this.images.get(recipe));
      return h("li", {}, h("button", { "aria-label": `Pin ${index + 1}, ${words(recipe)}: show it`, onclick: () => this.choose(recipe) }, canvas),
        h("button", { class: "remove", "aria-label": `Unpin ${index + 1}`, onclick: () => this.remove(recipe) }, "×"));
    }));
  }

  get stops() { return $("loop").checked ? [...this.recipes, this.recipes[0]] : this.recipes; }

  toggle() { if (this.playing) this.stop(); else this.start(); }

  start() {
    this.playing = true;
    this.began = performance.now();
    write($("play"), "Pause");
    $("play").setAttribute("aria-pressed", "true");
    this.frame();
  }

  stop() {
    this.playing = false;
    write($("play"), "Play the walk");
    $("play").setAttribute("aria-pressed", "false");
  }

  /** Asks for the picture of this moment, and for the next one once that is there. */
  frame() {
    if (!this.playing || this.recipes.length < 2) return;
    const legs = this.stops.length - 1, pace = Math.max(0.5, Number($("pace").value) || 2);
    const passed = (performance.now() - this.began) / 1000 / pace;
    // Without a loop it walks back the way it came.
    const moment = $("loop").checked ? passed % legs : legs - Math.abs(legs - passed % (2 * legs));
    this.step(this.stops, Math.min(legs, Math.max(0, moment)), () => requestAnimationFrame(() => this.frame()));
  }
}
