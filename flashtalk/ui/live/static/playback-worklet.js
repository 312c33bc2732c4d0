// The sound queue, which is the player's clock. Loaded into the audio thread by audio.js.
// It waits when empty and never drops sound. It keeps its delay small by playing at most 2 % faster or slower, and
// makes up for longer breaks in pauses: stretches of true silence become shorter.

import { Resampler } from "./resample.js";

const FIRST_LEAD_S = 0.06;
const MOST_LEAD_S = 0.6;
const LEAD_STEP_S = 0.06;
const WINDOW_S = 4;
const SPARE_S = 0.1;
const LOW_S = 0.02;
const MUCH_S = 0.3;
const HOP_S = 0.04;
const FADE_S = 0.02;
const REPORT_BLOCKS = 8;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.rate = 16000;
    this.restart(0);
    this.lead = FIRST_LEAD_S;
    this.underruns = 0;
    this.speed = 1;
    this.blocks = 0;
    this.port.onmessage = (event) => this[event.data.do](event.data);
  }

  /** Samples that begin at second `start` of the page's clock; `rate` is theirs. */
  sound({ start, samples, rate }) {
    if (!this.resampler || rate !== this.rate) {
      this.rate = rate;
      this.resampler = new Resampler(sampleRate / rate);
    }
    const at = Math.round((start - this.startS) * this.rate);
    if (at < 0) return;
    const line = new Float32Array(at + samples.length);
    line.set(this.line.subarray(0, at));
    for (let index = 0; index < samples.length; index++) line[at + index] = samples[index] / 32768;
    this.line = line;
  }

  /** Forget everything; the next sound begins at second `at`. */
  restart(message) {
    this.startS = message.at || 0;
    this.line = new Float32Array(0);
    this.position = 0;
    this.playing = false;
    this.skipS = 0;
    this.waited = 0;
    this.least = Infinity;
    this.windowS = 0;
  }

  /** Silence from now up to second `at`, and nothing after it: what an interrupt leaves of the sound. */
  cut({ at }) {
    const end = Math.max(0, Math.round((at - this.startS) * this.rate));
    const line = new Float32Array(end);
    const now = Math.floor(this.position);
    const fade = Math.round(FADE_S * this.rate);
    line.set(this.line.subarray(0, Math.min(now, end)));
    for (let index = now; index < Math.min(now + fade, end, this.line.length); index++) {
      line[index] = this.line[index] * (1 - (index - now) / fade);
    }
    this.line = line;
  }

  get buffered() {
    return Math.max(0, (this.line.length - this.position) / this.rate);
  }

  process(_inputs, outputs) {
    const output = outputs[0][0];
    const blockS = output.length / sampleRate;
    if (!this.playing) this.wait(blockS);
    if (this.playing) this.play(output, blockS);
    if (this.blocks++ % REPORT_BLOCKS === 0) this.report();
    return true;
  }

  wait(blockS) {
    if (this.buffered < 0.02) return;
    this.waited += blockS;
    this.playing = this.waited >= this.lead;
  }

  play(output, blockS) {
    this.skipPause();
    const step = (this.rate / sampleRate) * this.speed;
    for (let index = 0; index < output.length; index++) {
      if (this.position >= this.line.length) {
        this.runDry();
        break;
      }
      output[index] = this.resampler.at(this.line, this.position);
      this.position += step;
    }
    this.steer(blockS);
    this.forget();
  }

  skipPause() {
    if (this.skipS <= 0) return;
    const hop = Math.round(HOP_S * this.rate);
    const here = Math.floor(this.position);
    if (here + 2 * hop > this.line.length) return;
    if (this.line.subarray(here, here + 2 * hop).some((value) => value !== 0)) return;
    this.position += hop;
    this.skipS -= HOP_S;
  }

  runDry() {
    this.playing = false;
    this.waited = 0;
    this.underruns++;
    this.lead = Math.min(MOST_LEAD_S, this.lead + LEAD_STEP_S);
  }

  /** Chunks come in bursts: what counts is the least that was left in a window, just before a burst. */
  steer(blockS) {
    this.least = Math.min(this.least, this.buffered);
    this.windowS += blockS;
    if (this.windowS < WINDOW_S) return;
    const spare = this.least - this.lead;
    this.skipS = spare > MUCH_S ? spare - SPARE_S : 0;
    if (spare > SPARE_S) this.speed = 1.02;
    else if (this.least < LOW_S) this.speed = 0.985;
    else this.speed = 1;
    if (spare > 0) this.lead = Math.max(FIRST_LEAD_S, this.lead - 0.005);
    this.least = Infinity;
    this.windowS = 0;
  }

  forget() {
    const done = Math.floor(this.position) - this.rate;
    if (done < this.rate) return;
    this.line = this.line.slice(done);
    this.position -= done;
    this.startS += done / this.rate;
  }

  report() {
    this.port.postMessage({
      position: this.startS + this.position / this.rate,
      at: currentTime,
      playing: this.playing,
      speed: this.speed,
      buffered: this.buffered,
      lead: this.lead,
      underruns: this.underruns,
    });
  }
}

registerProcessor("flashtalk-playback", Playback);
