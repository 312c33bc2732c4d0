// Parts of the live page among the little of a browser that they ask for: node live_parts.mjs < {folder, acts} > results
// An act is [name, ...values] of `does` below; its result is what it gives.

import { readFileSync } from "node:fs";

const RATE = 16000;
const { folder, acts } = JSON.parse(readFileSync(0, "utf8"));
const processors = {}, made = [];
globalThis.sampleRate = 48000;
globalThis.currentTime = 0;
globalThis.AudioWorkletProcessor = class {
  constructor() { this.port = { postMessage() {} }; }
};
globalThis.registerProcessor = (name, kind) => { processors[name] = kind; };
/** A node whose processor gets each message at once. */
globalThis.AudioWorkletNode = class {
  constructor(_context, name) {
    this.processor = new processors[name]();
    this.port = { postMessage: (data) => this.processor.port.onmessage({ data }) };
    made.push(this.processor);
  }
  connect() {}
  disconnect() {}
};
globalThis.requestAnimationFrame = () => 0;
globalThis.EncodedVideoChunk = class {
  constructor(chunk) { Object.assign(this, chunk); }
};
let decoders = 0;
globalThis.VideoDecoder = class {
  static isConfigSupported = async () => ({ supported: true });
  constructor() { this.state = "configured"; decoders++; }
  configure() {}
  decode() {}
  close() { this.state = "closed"; }
};
const buffer = { buffered: [], addEventListener() {}, appendBuffer() {}, abort() {}, remove() {} };
globalThis.MediaSource = class {
  addEventListener(_name, act) { act(); }
  addSourceBuffer() { return buffer; }
};
URL.createObjectURL = () => "";
globalThis.setInterval = () => 0;
const timers = new Map();
globalThis.setTimeout = (act) => { timers.set(timers.size + 1, act); return timers.size; };
globalThis.clearTimeout = (timer) => { timers.set(timer, () => {}); };

/** An element of the page, and every one in it that is asked for. */
class Element {
  constructor() { Object.assign(this, { parts: {}, acts: {}, told: {}, dataset: {}, style: {}, options: [], children: [] }); }
  querySelector(selector) { return this.parts[selector] ??= new Element(); }
  querySelectorAll(selector) { return selector.includes("portrait") ? [this.querySelector("[name=ft-live-portrait]:checked")] : []; }
  addEventListener(name, act) { this.acts[name] = act; }
  replaceChildren(...children) { this.children = children; }
  setAttribute(name, value) { this.told[name] = value; }
  getAttribute(name) { return this.told[name]; }
  getContext() { return {}; }
  get parentElement() { return this.querySelector(".parent"); }
  classList = { toggle() {} };
}
const contexts = [], asked = [];
let deafTo = "";
globalThis.AudioContext = class {
  state = "suspended";
  audioWorklet = { addModule: async ({ pathname }) => { if (deafTo && pathname.includes(deafTo)) throw new Error("lost"); } };
  constructor() { contexts.push(this); }
  async resume() { this.state = "running"; }
  suspend() { this.state = "suspended"; }
  close() { this.state = "closed"; }
  createMediaStreamSource() { return { connect() {}, disconnect() {} }; }
  createBufferSource() { return { buffer: null, connect() {}, disconnect() {} }; }
  createBuffer() { return { duration: 1, copyToChannel() {} }; }
  async decodeAudioData() { return { length: 1, sampleRate: RATE, getChannelData() {} }; }
};
globalThis.fetch = async () => ({ arrayBuffer: async () => null });
globalThis.WebSocket = class { static OPEN = 1; close() {} };
globalThis.document = {
  documentElement: { lang: "en" }, baseURI: "http://page/", createElement: () => new Element(), querySelector: () => null,
  addEventListener() {}, removeEventListener() {},
};
Object.assign(globalThis, { window: globalThis, isSecureContext: true, location: { search: "" }, addEventListener() {} });
const getUserMedia = () => new Promise((allow, refuse) => asked.push({ allow, refuse }));
const mediaDevices = { getUserMedia, enumerateDevices: async () => [], addEventListener() {} };
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices } });

for (const name of ["capture", "playback"]) await import(`${folder}/${name}-worklet.js`);
const { Ear, SoundQueue } = await import(`${folder}/audio.js`);
const { FramePlayer } = await import(`${folder}/frame-player.js`);
const { SegmentPlayer } = await import(`${folder}/segment-player.js`);
const { start } = await import(`${folder}/live.js`);

const runs = () => made.map((processor) => processor.process([[]], [[new Float32Array(128)]]));
let player = null, told = null;

const does = {
  /** What both processors say of themselves while a conversation goes on, and after. */
  converse() {
    const parts = [new Ear({}, () => {}), new SoundQueue({})];
    parts[0].mute(true);
    const during = runs();
    for (const part of parts) part.close();
    return [during, runs()];
  },
  webcodecs() {
    told = [];
    const queue = { state: {}, put() {}, now: () => 0, cut() {}, restart: (at) => told.push(["restart", at]) };
    player = new FramePlayer({ getContext() {} }, queue, () => {});
    return null;
  },
  mse() {
    told = [];
    const video = { buffered: [], set currentTime(at) { told.push(["restart", at]); }, get currentTime() { return 0; } };
    player = new SegmentPlayer(video, () => {});
    return null;
  },
  /** A stream begins, whose messages say so in this order; what the player forgot, and the pictures it still has. */
  async begin(epoch, at, reason) {
    const decodersBefore = decoders;
    if (reason !== "interrupt") player.setup({ codec: "avc1.42e01f", width: 64, height: 64, sample_rate: RATE });
    player.begin(epoch, at, reason);
    if (player.file) await player.file({ mime: "", at_s: at });
    return { told: told.splice(0), waiting: player.coded?.length, decoders: decoders - decodersBefore };
  },
  /** A chunk of a second that begins at `at`. */
  async take(epoch, at) {
    const data = new Uint8Array(2 * RATE);
    if (player.file) player.take({ kind: 3, epoch, pts: at, data });
    else player.take({ kind: 2, epoch, pts: at, data });
    for (let frame = 0; frame < 25; frame++) player.take({ kind: 1, epoch, key: frame === 0, pts: at + frame / 25, data });
    await 0;
    return null;
  },
  /** The microphone tab, whose visitor does something, as [what, of what], one after the other; what it shows then. */
  async visit(...deeds) {
    const element = new Element(), tab = element.querySelector(".ft-live");
    start(element, () => ({ token: "", words: new Proxy({}, { get: (_, code) => [code, code] }) }));
    const { page } = tab;
    const deed = {
      press: (name) => page.button(name).disabled || page.button(name).acts.click(),
      choose: () => tab.querySelector("[name=ft-live-portrait]:checked").acts.change(),
      refuse: (name) => asked.shift().refuse(new DOMException("", name)),
      lose: (name) => { deafTo = name; },
      notice: (code) => page.notice({ code }),
      state: (state) => page.state(state),
      wait: () => [...timers.values()].forEach((act) => act()),
    };
    for (const [what, ofWhat] of deeds) {
      deed[what](ofWhat);
      await new Promise((done) => { setImmediate(done); });
    }
    const [{ textContent: words }] = page.status.children;
    return { state: tab.dataset.state, words, contexts: contexts.map(({ state }) => state), talks: Boolean(page.conversation) };
  },
  /** An interrupt is asked for; until it is answered, pieces of the stream before it come. */
  cut(at) {
    player.cut(at);
    return null;
  },
  received: () => player.receivedS,
};

const results = [];
for (const [name, ...values] of acts) results.push(await does[name](...values));
process.stdout.write(JSON.stringify(results));
