// Leaving out a piece of sound so that nobody hears it: of a pause any length, of speech a few periods of the voice.
// Called by playback-worklet.js.

const BLEND_S = 0.01;
const SHORTEST_S = 0.008;
const LONGEST_S = 0.02;
const QUIET = 0.004;
const KERNEL = 16;

/** How many samples after `at` may be left out, at most `mostS` of a pause; 0 if too little of the future is known. */
export function periodAt(line, at, rate, mostS) {
  const pause = Math.round(mostS * rate);
  const longest = Math.round(LONGEST_S * rate);
  const blend = Math.round(BLEND_S * rate);
  if (at + Math.max(pause, longest) + blend > line.length) return 0;
  if (line.subarray(Math.max(0, at - KERNEL), at + pause + blend).every((value) => Math.abs(value) < QUIET)) return pause;
  return mostS < LONGEST_S ? 0 : alike(line, at, Math.round(SHORTEST_S * rate), longest, blend);
}

/** The shift under which the next `blend` samples look most like themselves. */
function alike(line, at, shortest, longest, blend) {
  let best = shortest, most = -Infinity;
  for (let shift = shortest; shift <= longest; shift++) {
    let product = 0, energy = 1e-9;
    for (let index = at; index < at + blend; index++) {
      product += line[index] * line[index + shift];
      energy += line[index + shift] * line[index + shift];
    }
    const likeness = product / Math.sqrt(energy);
    if (likeness > most) [best, most] = [shift, likeness];
  }
  return best;
}

/** Prepare the jump from `at` to `at + left`: what follows it begins as what would have come, and blends over. */
export function splice(line, at, left, rate) {
  const blend = Math.min(Math.round(BLEND_S * rate), left);
  for (let index = -Math.min(KERNEL, at); index < blend; index++) {
    const part = Math.max(0, index / blend);
    line[at + left + index] = line[at + index] * (1 - part) + line[at + left + index] * part;
  }
}
