// Plays single pictures and PCM: WebCodecs onto a canvas, with the sound queue as the clock.
// Late pictures are dropped, sound never.

import { PICTURE, SOUND } from "./wire.js";

const DECODE_AHEAD_S = 0.6;
const LATE_S = 0.3;
const EARLY_S = 0.008;
const SAME_S = 0.1;

export class FramePlayer {
  static name = "webcodecs";

  static async works() {
    if (!("VideoDecoder" in window) || !("AudioWorkletNode" in window)) return false;
    const support = await VideoDecoder.isConfigSupported({ codec: "avc1.42e01f" }).catch(() => null);
    return Boolean(support && support.supported);
  }

  constructor(canvas, queue, onProblem) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false, desynchronized: true });
    this.queue = queue;
    this.onProblem = onProblem;
    this.epoch = -1;
    this.receivedS = this.soundS = 0;
    this.figures = { painted: 0, late: 0, firstAt: 0, skews: [] };
    this.coded = [];
    this.ready = [];
    this.frame = requestAnimationFrame(() => this.draw());
  }

  setup({ codec, width, height, sample_rate: rate }) {
    this.rate = rate;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    if (this.decoder && codec === this.codec) return;
    this.codec = codec;
    this.resetDecoder();
  }

  /** A new run of chunks from second `at` on. What lies before it plays on after an interrupt, and where a stream is
   * opened that goes on at the end of the sound that came. */
  begin(epoch, at, reason) {
    const goesOn = reason === "interrupt" || (reason === "open" && Math.abs(at - this.soundS) < SAME_S);
    this.epoch = epoch;
    this.receivedS = Math.min(this.receivedS, at);
    this.soundS = at;
    if (goesOn) return;
    this.clear();
    this.queue.restart(at);
  }

  /** What is not wanted any more has come all the same: the server waits for word of it. */
  take(message) {
    this.receivedS = Math.max(this.receivedS, message.pts + (message.kind === PICTURE ? 0.04 : 0));
    if (message.epoch !== this.epoch) return;
    if (message.kind === SOUND) {
      const samples = new Int16Array(message.data.slice().buffer);
      this.soundS = message.pts + samples.length / this.rate;
      this.queue.put(message.pts, samples, this.rate);
    } else if (message.kind === PICTURE) {
      this.coded.push(message);
      if (message.key) this.skipLate(this.now());
    }
  }

  /** Nothing after second `at` is shown or heard, and nothing at all is heard from now on. */
  cut(at) {
    this.epoch = -1;
    this.soundS = Math.min(this.soundS, at);
    this.queue.cut(at);
    this.coded = this.coded.filter((message) => message.pts < at - 0.001);
    this.ready = this.ready.filter((picture) => keepBefore(picture, at));
  }

  now() {
    return this.queue.now();
  }

  /** How long sound waits here, from its arrival to the loudspeaker. */
  get marginS() {
    return this.queue.state.margin + this.queue.outputDelay;
  }

  draw() {
    this.frame = requestAnimationFrame(() => this.draw());
    const now = this.now();
    this.skipLate(now);
    while (this.coded.length && this.coded[0].pts < now + DECODE_AHEAD_S) this.decode(this.coded.shift());
    this.paint(this.pick(now), now);
  }

  /** Far behind (a hidden page draws nothing): go on at the newest key picture that is due. */
  skipLate(now) {
    if (!this.coded.length || this.coded[0].pts > now - LATE_S) return;
    let start = -1;
    this.coded.forEach((message, index) => { if (message.key && message.pts <= now) start = index; });
    if (start > 0) {
      this.figures.late += start;
      this.coded.splice(0, start);
    }
  }

  decode({ key, pts, data }) {
    if (this.decoder.state !== "configured") this.resetDecoder();
    if (this.needsKey && !key) return;
    this.needsKey = false;
    const type = key ? "key" : "delta";
    this.decoder.decode(new EncodedVideoChunk({ type, timestamp: Math.round(pts * 1e6), data }));
  }

  resetDecoder() {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = new VideoDecoder({
      output: (picture) => this.ready.push(picture),
      // A browser takes back a decoder that rests, as of a hidden page; the next picture finds it closed.
      error: (error) => { if (error.name !== "QuotaExceededError") this.onProblem(String(error)); },
    });
    this.decoder.configure({ codec: this.codec, optimizeForLatency: true });
    this.needsKey = true;
  }

  /** The newest picture that is due; older ones are late. Before any sound plays, the first picture is due. */
  pick(now) {
    let picked = null;
    while (this.ready.length && (this.isDue(this.ready[0], now) || !(picked || this.figures.painted))) {
      if (picked) {
        picked.close();
        this.figures.late++;
      }
      picked = this.ready.shift();
    }
    return picked;
  }

  isDue(picture, now) {
    return picture.timestamp / 1e6 <= now + EARLY_S;
  }

  paint(picture, now) {
    if (!picture) return;
    const { displayWidth: width, displayHeight: height } = picture;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.drawImage(picture, 0, 0);
    this.figures.painted++;
    this.figures.firstAt = this.figures.firstAt || performance.now();
    if (this.queue.state.playing) this.figures.skews.push(now - picture.timestamp / 1e6);
    if (this.figures.skews.length > 2000) this.figures.skews.splice(0, 1000);
    if (this.onPaint) this.onPaint(picture, now);
    picture.close();
  }

  clear() {
    this.coded = [];
    for (const picture of this.ready) picture.close();
    this.ready = [];
    if (this.decoder) this.resetDecoder();
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.clear();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.queue.close();
  }
}

function keepBefore(picture, at) {
  const keep = picture.timestamp / 1e6 < at - 0.001;
  if (!keep) picture.close();
  return keep;
}
