// Plays fragmented mp4 through Media Source Extensions: for browsers without WebCodecs. Same interface as FramePlayer.

import { SEGMENT } from "./wire.js";

const TARGET_S = 0.2;
const SPARE_S = 0.05;
const FASTER = 1.15;
const STEER_MS = 100;
const ARRIVALS = 3;
const KEPT_S = 12;
const SAME_S = 0.1;

export class SegmentPlayer {
  static name = "mse";

  static async works() {
    return "MediaSource" in window && MediaSource.isTypeSupported('video/mp4; codecs="avc1.42c01e,mp4a.40.2"');
  }

  constructor(video, onProblem) {
    this.video = video;
    this.onProblem = onProblem;
    this.epoch = -1;
    this.receivedS = 0;
    this.silentUntil = 0;
    this.margins = [];
    this.jobs = [];
    this.figures = { painted: 0, late: 0, firstAt: 0, skews: [] };
    this.source = new MediaSource();
    this.opened = new Promise((resolve) => this.source.addEventListener("sourceopen", resolve, { once: true }));
    video.src = URL.createObjectURL(this.source);
    this.timer = setInterval(() => this.steer(), STEER_MS);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((at) => this.count(at));
  }

  setup() {}

  /** As FramePlayer's, but what came is known by the beginning of its last piece; a gap is left by `steer`. */
  begin(epoch, at, reason) {
    const goesOn = reason === "interrupt" || (reason === "open" && at > this.receivedS - SAME_S);
    this.epoch = epoch;
    this.receivedS = Math.min(this.receivedS, at);
    this.seekTo = goesOn ? null : at;
    this.margins = [];
  }

  /** A new file begins; its second 0 is second `at` of the page's clock. */
  async file({ mime, at_s: at }) {
    await this.opened;
    if (!this.buffer) {
      this.buffer = this.source.addSourceBuffer(mime);
      this.buffer.addEventListener("updateend", () => this.work());
      this.buffer.addEventListener("error", () => this.onProblem("the browser refused a piece of video"));
    }
    this.jobs.push(() => this.forget(at), () => this.place(at));
    this.work();
  }

  take(message) {
    this.receivedS = Math.max(this.receivedS, message.pts);
    if (message.epoch !== this.epoch || message.kind !== SEGMENT) return;
    if (!message.key) this.margins = [...this.margins, this.bufferedS].slice(-ARRIVALS);
    this.opened.then(() => {
      this.jobs.push(() => this.buffer.appendBuffer(message.data));
      this.work();
    });
  }

  /** One job at a time: a source buffer refuses a second one while it works. */
  work() {
    while (!this.closed && this.buffer && !this.buffer.updating && this.jobs.length) {
      try {
        this.jobs.shift()();
      } catch (error) {
        this.onProblem(String(error));
      }
    }
  }

  place(at) {
    this.buffer.abort();
    this.buffer.timestampOffset = at;
    if (this.seekTo !== null) this.video.currentTime = this.seekTo;
  }

  cut(at) {
    this.epoch = -1;
    this.silentUntil = at;
    this.video.muted = true;
    this.jobs.push(() => this.forget(at));
    this.work();
  }

  forget(at) {
    if (this.buffer.buffered.length) this.buffer.remove(at, Infinity);
  }

  now() {
    return this.video.currentTime;
  }

  get bufferedS() {
    const ranges = this.video.buffered;
    return ranges.length ? Math.max(0, ranges.end(ranges.length - 1) - this.video.currentTime) : 0;
  }

  steer() {
    const { video } = this;
    if (video.muted && video.currentTime >= this.silentUntil) video.muted = false;
    const ranges = video.buffered;
    if (!ranges.length || this.jobs.length) return;
    if (video.paused) video.play().catch(() => {});
    const start = ranges.start(ranges.length - 1);
    if (video.currentTime < start) video.currentTime = start;
    this.hurry();
    const old = video.currentTime - KEPT_S;
    if (ranges.start(0) < old - KEPT_S && this.buffer && !this.buffer.updating) this.buffer.remove(0, old);
  }

  /** What was left just before pieces arrived was not needed: play it off faster (browsers keep the pitch). */
  hurry() {
    const { video } = this;
    const isFar = this.margins.length === ARRIVALS && this.marginS > TARGET_S + SPARE_S;
    video.playbackRate = isFar ? FASTER : 1;
    if (isFar) this.margins = this.margins.map((margin) => margin - ((FASTER - 1) * STEER_MS) / 1000);
  }

  /** How long sound waits here, from its arrival to being played. */
  get marginS() {
    return this.margins.length ? Math.min(...this.margins) : TARGET_S;
  }

  count(at) {
    if (this.closed) return;  // the next conversation has the same element
    this.figures.painted++;
    this.figures.firstAt = this.figures.firstAt || at;
    this.video.requestVideoFrameCallback((next) => this.count(next));
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.video.pause();
    URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load();
  }
}
