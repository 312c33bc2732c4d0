// Band-limited reading of samples between samples. Shared by the two audio worklets.

const HALF_TAPS = 12;
const STEPS = 256;

/** Reads a signal at fractional positions; `ratio` is output rate / input rate (below 1 it also filters). */
export class Resampler {
  constructor(ratio) {
    this.cutoff = Math.min(1, ratio) * 0.94;
    this.reach = Math.ceil(HALF_TAPS / this.cutoff);
    this.table = kernel(this.cutoff, this.reach);
  }

  /** The value at `position` of `line`; outside the line there is silence. */
  at(line, position) {
    const centre = Math.floor(position);
    const first = Math.max(0, centre - this.reach + 1);
    const last = Math.min(line.length - 1, centre + this.reach);
    let sum = 0;
    for (let index = first; index <= last; index++) {
      const place = Math.abs(position - index) * STEPS;
      const low = place | 0;
      const part = place - low;
      sum += line[index] * (this.table[low] * (1 - part) + this.table[low + 1] * part);
    }
    return sum;
  }
}

/** A sinc under a Hann window, sampled STEPS times for each input sample, one side only. */
function kernel(cutoff, reach) {
  const table = new Float32Array(reach * STEPS + 2);
  for (let index = 0; index <= reach * STEPS; index++) {
    const distance = index / STEPS;
    const angle = Math.PI * distance * cutoff;
    const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
    table[index] = cutoff * sinc * 0.5 * (1 + Math.cos((Math.PI * distance) / reach));
  }
  return table;
}
