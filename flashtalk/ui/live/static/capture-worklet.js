// The microphone as 16 kHz pieces of 40 ms. Loaded into the audio thread by audio.js.

import { Resampler } from "./resample.js";

const RATE = 16000;
const PIECE = 640;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    this.resampler = new Resampler(RATE / sampleRate);
    this.line = new Float32Array(0);
    this.position = 0;
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.count = 0;
    this.peak = 0;
    this.muted = this.ended = false;
    this.port.onmessage = ({ data }) => {
      if (data.end) this.ended = true;
      else this.muted = data.muted;
    };
  }

  process(inputs) {
    const input = inputs[0][0];
    this.append(input && !this.muted ? input : new Float32Array(128));
    while (this.position + this.resampler.reach < this.line.length) {
      this.put(this.resampler.at(this.line, this.position));
      this.position += this.step;
    }
    this.forget();
    return !this.ended;
  }

  append(block) {
    const line = new Float32Array(this.line.length + block.length);
    line.set(this.line);
    line.set(block, this.line.length);
    this.line = line;
  }

  forget() {
    const done = Math.max(0, Math.floor(this.position) - this.resampler.reach);
    this.line = this.line.subarray(done);
    this.position -= done;
  }

  put(value) {
    const clipped = Math.max(-1, Math.min(1, value));
    this.peak = Math.max(this.peak, Math.abs(clipped));
    this.piece[this.filled++] = clipped * 32767;
    if (this.filled === PIECE) this.send();
  }

  send() {
    const message = { first: this.count, at: currentTime, peak: this.peak, samples: this.piece.buffer };
    this.port.postMessage(message, [this.piece.buffer]);
    this.count += PIECE;
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("flashtalk-capture", Capture);
