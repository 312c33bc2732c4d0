// The sound queue, which is the player's clock. Loaded into the audio thread by audio.js.
// It waits when empty and never drops a word. Sound that waits longer than jitter needs is delay, and is made up for:
// pauses are played at double speed, speech loses single periods of the voice (a sixth of its time, nothing of its
// pitch). How much is too much shows just before a piece arrives: what was left then was not needed.

import { Resampler } from "./resample.js";
import { periodAt, splice } from "./splice.js";

const FIRST_LEAD_S = 0.08;
const MOST_LEAD_S = 0.24;
const LEAD_DOWN_S = 0.002;
const SPARE_S = 0.03;
const JITTER_S = 0.5;
const ARRIVALS = 3;
const USUAL = 9;
const HOP_S = 0.06;
const FADE_S = 0.02;
const REPORT_BLOCKS = 8;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.rate = 16000;
    this.lead = FIRST_LEAD_S;
    this.underruns = 0;
    this.blocks = 0;
    this.ended = false;
    this.restart(0);
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
    this.arrive();
    const line = new Float32Array(at + samples.length);
    line.set(this.line.subarray(0, at));
    for (let index = 0; index < samples.length; index++) line[at + index] = samples[index] / 32768;
    this.line = line;
  }

  /** Note what was left. Jitter makes the lead longer, also where a piece was only later than the last ones and the
   * queue did not run dry of it; a break in everything does not. */
  arrive() {
    this.arrived++;
    if (this.playing) {
      const dip = this.margins.length >= ARRIVALS ? median(this.margins) - this.buffered : 0;
      this.lead = Math.max(this.lead - LEAD_DOWN_S, Math.min(MOST_LEAD_S, FIRST_LEAD_S + dip), FIRST_LEAD_S);
      this.margins = [...this.margins, this.buffered].slice(-USUAL);
    } else if (this.buffered === 0) {
      // The first two pieces differ in what they cost, and where each one is late no lead would help.
      const isJitter = this.arrived > 2 && this.margins.length && this.dryS < JITTER_S;
      if (isJitter) this.lead = Math.min(MOST_LEAD_S, this.lead + this.dryS);
      this.margins = [];
    }
  }

  /** Forget everything; the next sound begins at second `at`. */
  restart(message) {
    this.startS = message.at || 0;
    this.line = new Float32Array(0);
    this.position = 0;
    this.playing = false;
    this.waited = 0;
    this.dryS = 0;
    this.arrived = 0;
    this.margins = [];
    this.hop = 0;
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

  /** The conversation is over: browsers keep a processor for ever that does not say so. */
  end() {
    this.ended = true;
  }

  get buffered() {
    return Math.max(0, (this.line.length - this.position) / this.rate);
  }

  /** The least that was left when a piece arrived, of late. */
  get margin() {
    return this.margins.length ? Math.min(...this.margins.slice(-ARRIVALS)) : this.lead;
  }

  process(_inputs, outputs) {
    const output = outputs[0][0];
    if (!this.playing) this.wait(output.length / sampleRate);
    if (this.playing) this.play(output);
    if (this.blocks++ % REPORT_BLOCKS === 0) this.report();
    return !this.ended;
  }

  wait(blockS) {
    if (this.buffered === 0) {
      this.dryS += blockS;
      return;
    }
    this.waited += blockS;
    this.playing = this.waited >= this.lead;
  }

  play(output) {
    this.catchUp(output.length / sampleRate);
    const step = this.rate / sampleRate;
    for (let index = 0; index < output.length; index++) {
      if (this.position >= this.line.length) {
        this.runDry();
        break;
      }
      output[index] = this.resampler.at(this.line, this.position);
      this.position += step;
    }
    this.forget();
  }

  /** Now and then, while more waits than is needed: leave out a piece of a pause, or a period of the voice. */
  catchUp(blockS) {
    this.hop += blockS;
    const spare = this.margin - this.lead;
    if (this.margins.length < ARRIVALS || spare < SPARE_S || this.hop < HOP_S) return;
    this.hop = 0;
    const left = periodAt(this.line, Math.floor(this.position), this.rate, Math.min(spare, HOP_S));
    if (!left) return;
    splice(this.line, Math.floor(this.position), left, this.rate);
    this.position += left;
    this.margins = this.margins.map((margin) => margin - left / this.rate);
  }

  runDry() {
    this.playing = false;
    this.waited = this.dryS = 0;
    this.underruns++;
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
      margin: this.margin,
      lead: this.lead,
      underruns: this.underruns,
    });
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

registerProcessor("flashtalk-playback", Playback);
