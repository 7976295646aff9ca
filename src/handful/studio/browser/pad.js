// Four pictures at the corners, and a dot that says how much of each.

const STEP = 0.05, RADIUS = ".5625rem";

export class Pad {
  constructor(element, dot, words, change, commit) {
    Object.assign(this, { element, dot, words, change, commit, at: [0, 0], held: false });
    element.addEventListener("pointerdown", event => { element.setPointerCapture(event.pointerId); this.held = true; this.drag(event); });
    element.addEventListener("pointermove", event => this.held && this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { if (this.held) { this.held = false; this.commit(); } });
    element.addEventListener("keydown", event => this.key(event));
  }

  get canvases() { return [...this.element.querySelectorAll("canvas")]; }

  drag(event) {
    const box = this.element.getBoundingClientRect();
    this.move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  move(x, y) {
    this.show([x, y].map(part => Math.round(1000 * Math.min(1, Math.max(0, part))) / 1000));
    this.change(this.at);
  }

  show(at) {
    this.at = at;
    const within = part => `clamp(${RADIUS}, ${100 * part}%, calc(100% - ${RADIUS}))`;
    this.dot.style.left = within(at[0]);
    this.dot.style.top = within(at[1]);
  }

  key(event) {
    const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!by) return;
    event.preventDefault();
    this.move(this.at[0] + by[0], this.at[1] + by[1]);
    this.words.textContent = `${Math.round(100 * this.at[0])} % to the right, ${Math.round(100 * this.at[1])} % down`;
    this.commit();
  }
}
