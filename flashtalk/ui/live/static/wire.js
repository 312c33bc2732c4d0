// The socket: typed binary messages and JSON, and coming back by itself. The other end is flashtalk/ui/live/messages.py.

export const PICTURE = 1, SOUND = 2, SEGMENT = 3, MICROPHONE = 16;

const COME_BACK_MS = 30000;
const WAITS_MS = [200, 400, 800, 1500, 2500];
const PING_MS = 2000;
const DEAF_MS = 6000;
const REFUSED = 4401;
const OVER = [4000, REFUSED, 4403];
const CONGESTED_BYTES = 64000;
/** Words of a conversation that has us; a socket that opens may be closed again before any of them. */
const WELCOMES = ["ready", "place", "notice"];

/** A media message without its head: {kind, key, epoch, number, pts, data}. */
export function unpack(buffer) {
  const view = new DataView(buffer);
  return {
    kind: view.getUint8(0),
    key: view.getUint8(1) === 1,
    epoch: view.getUint16(2, true),
    number: view.getUint32(4, true),
    pts: view.getFloat64(8, true),
    data: new Uint8Array(buffer, 16),
  };
}

/** Handlers: words(message), media(message), state("connecting" | "open" | "lost" | "over"). */
export class Wire {
  constructor(address, hello, handlers) {
    this.address = address;
    this.hello = hello;
    this.handlers = handlers;
    this.key = "";
    this.roundTripS = 0;
    this.reconnects = 0;
    this.lostAt = 0;
    this.tries = 0;
    this.waiting = null;
    this.over = false;
    this.open();
    this.timer = setInterval(() => this.beat(), PING_MS);
  }

  open() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.greet(socket);
    socket.onmessage = (event) => this.take(event.data);
    socket.onclose = (event) => this.lose(socket, event.code);
    this.socket = socket;
    this.heardAt = performance.now();
    this.handlers.state(this.lostAt ? "lost" : "connecting");
  }

  greet(socket) {
    this.heardAt = performance.now();
    socket.send(JSON.stringify({ type: "hello", ...this.hello, resume: this.key }));
    this.handlers.state("open");
  }

  /** The line is there again: only from here on a loss is a new one. */
  arrive() {
    if (this.lostAt) this.reconnects++;
    this.lostAt = 0;
    this.tries = 0;
  }

  take(data) {
    this.heardAt = performance.now();
    if (typeof data !== "string") {
      this.handlers.media(unpack(data));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "pong") this.roundTripS = (performance.now() - message.at) / 1000;
    if (WELCOMES.includes(message.type)) this.arrive();
    if (message.key) this.key = message.key;
    if (message.type === "error") this.over = true;
    this.handlers.words(message);
  }

  lose(socket, code) {
    if (socket !== this.socket || this.closed || this.waiting) return;
    socket.onclose = socket.onmessage = null;
    this.lostAt = this.lostAt || performance.now();
    if (this.over || OVER.includes(code) || performance.now() - this.lostAt > COME_BACK_MS) {
      this.close();
      return;
    }
    this.handlers.state("lost");
    this.waiting = setTimeout(() => this.comeBack(), WAITS_MS[Math.min(this.tries++, WAITS_MS.length - 1)]);
  }

  comeBack() {
    clearTimeout(this.waiting);
    this.waiting = null;
    if (!this.closed) this.open();
  }

  beat() {
    if (performance.now() - this.heardAt > DEAF_MS) this.again();  // browsers wait for minutes for one that hangs
    else this.say({ type: "ping", at: performance.now() });
  }

  /** Leave this socket and come back at once on another one, which begins from now. */
  again() {
    const old = this.socket;
    this.lose(old, 0);
    if (this.waiting) this.comeBack();
    old.close();
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
  }

  /** A microphone piece; dropped while the line is stuck, because late speech would only add delay. */
  speak(first, samples) {
    if (!this.ready || this.socket.bufferedAmount > CONGESTED_BYTES) return;
    const message = new Uint8Array(8 + samples.byteLength);
    const view = new DataView(message.buffer);
    view.setUint8(0, MICROPHONE);
    view.setUint32(4, first, true);
    message.set(new Uint8Array(samples), 8);
    this.socket.send(message);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    clearTimeout(this.waiting);
    this.say({ type: "bye" });
    this.socket.close();
    this.handlers.state("over");
  }
}
