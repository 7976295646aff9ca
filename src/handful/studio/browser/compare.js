// Pinned pictures side by side, at full size.
import { address } from "./api.js";
import { $, h, refill, write } from "./build.js";
import { paint } from "./connection.js";
import { fileName, words } from "./state.js";

const LEAST = 320;

export class Comparison {
  constructor(source, model, pins, choose) {
    Object.assign(this, { source, model, pins, choose });
    $("compare").addEventListener("click", () => this.open());
  }

  open() {
    if (this.pins.recipes.length < 2) return;
    this.show();
    $("comparing").showModal();
  }

  /** Shows one pixel of a picture as one of the page; small pictures larger. */
  show() {
    const { width, height } = this.model;
    const scale = Math.max(1, Math.floor(LEAST / width));
    write($("comparing-size"), `${width} × ${height} px${scale > 1 ? `, shown ${scale} times as large` : ""}`);
    $("comparing").style.setProperty("--side", `${scale * width}px`);
    refill($("compared"), this.pins.recipes.map(recipe => {
      const name = words(recipe), canvas = h("canvas", { role: "img", "aria-label": name });
      [canvas.width, canvas.height] = [width, height];
      const image = this.pins.images.get(recipe);
      if (image) paint(canvas, image);
      return h("li", {}, canvas, h("p", {}, name), h("p", { class: "actions" },
        h("button", { "aria-label": `Explore ${name}`, onclick: () => { $("comparing").close(); this.choose(recipe); } }, "Explore"),
        h("a", { class: "button", "aria-label": `Save ${name} as PNG`, href: address("/api/picture", { source: this.source, picture: JSON.stringify(recipe) }), download: fileName(recipe) }, "Save PNG"),
        h("button", { class: "quiet", "aria-label": `Unpin ${name}`, onclick: () => this.remove(recipe) }, "Unpin")));
    }));
  }

  remove(recipe) {
    this.pins.remove(recipe);
    if (this.pins.recipes.length) this.show();
    else $("comparing").close();
  }

  /** Paints a picture that has been drawn since. */
  take(recipe, image) {
    const canvas = $("compared").children[this.pins.recipes.indexOf(recipe)]?.querySelector("canvas");
    if (canvas) paint(canvas, image);
  }
}
