// The line to the studio that pictures come over. One live picture is asked for at a time; while it is drawn, only the
// newest wish is kept. Frames are dropped, never queued.

const HEADER = 8, FIRST_WAIT = 500, LONGEST_WAIT = 8000;

export class Connection extends EventTarget {
  constructor(source) {
    super();
    this.address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/draw?${new URLSearchParams({ source })}`;
    this.number = 0;
    this.wishes = new Map();
    this.live = null;
    this.pending = null;
    this.tiles = [];
    this.wait = FIRST_WAIT;
    this.open();
  }

  open() {
    this.socket = new WebSocket(this.address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = event => event.data instanceof ArrayBuffer ? this.take(event.data) : this.hear(JSON.parse(event.data));
    this.socket.onopen = () => { this.wait = FIRST_WAIT; this.tell(""); this.sendLive(); this.sendWall(); };
    this.socket.onclose = () => {
      this.tell("The studio does not answer. Trying again …");
      if (this.live !== null) this.pending ??= this.wishes.get(this.live);
      this.live = null;
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    };
  }

  get isOpen() { return this.socket.readyState === WebSocket.OPEN; }

  tell(words) { this.dispatchEvent(new CustomEvent("state", { detail: words })); }

  /** Asks for the large picture: `{ picture }` or `{ walk }`. */
  show(wish, done) {
    this.pending = { wish, done, since: performance.now() };
    this.sendLive();
  }

  sendLive() {
    if (!this.isOpen || this.live !== null || !this.pending) return;
    const number = this.live = this.number++;
    this.wishes.set(number, this.pending);
    this.socket.send(JSON.stringify({ id: number, ...this.pending.wish }));
    this.pending = null;
  }

  /** Asks for small pictures, all that are in sight, in place of those asked for before. */
  showTiles(tiles) {
    this.tiles = tiles;
    this.sendWall();
  }

  sendWall() {
    if (!this.isOpen) return;
    for (const [number, wish] of this.wishes) if (wish.tile) this.wishes.delete(number);
    const wall = this.tiles.map(tile => {
      const id = this.number++;
      this.wishes.set(id, { done: tile.done, tile });
      return { id, picture: tile.picture };
    });
    this.socket.send(JSON.stringify({ wall }));
  }

  take(data) {
    const view = new DataView(data);
    const number = view.getUint32(0, true), width = view.getUint16(4, true), height = view.getUint16(6, true);
    const wish = this.wishes.get(number);
    this.finish(number);
    if (!wish) return;
    if (wish.tile) this.tiles = this.tiles.filter(tile => tile !== wish.tile);
    wish.done(new ImageData(new Uint8ClampedArray(data, HEADER), width, height), wish.since && performance.now() - wish.since);
  }

  hear(message) {
    if (message.id !== undefined) this.finish(message.id);
    for (const name of ["directions", "busy", "error"])
      if (name in message) this.dispatchEvent(new CustomEvent(name, { detail: message[name] }));
  }

  finish(number) {
    this.wishes.delete(number);
    if (number !== this.live) return;
    this.live = null;
    this.sendLive();
  }
}

/** Puts pixels on a canvas. */
export function paint(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").putImageData(image, 0, 0);
}
