// The page's sound queue on a clock of the test's own: node live_player.mjs < events.json > trace.json
// In: {worklet, seconds, restart, events: [{at, start, samples, rate} or {at, cut}]}. Out: {trace, heard, underruns}.

import { readFileSync } from "node:fs";

const RATE = 48000, BLOCK = 128;
const { worklet, seconds, events } = JSON.parse(readFileSync(0, "utf8"));
let Player, said = {};
globalThis.sampleRate = RATE;
globalThis.currentTime = 0;
globalThis.AudioWorkletProcessor = class {
  constructor() { this.port = { postMessage: (message) => { said = message; } }; }
};
globalThis.registerProcessor = (_name, kind) => { Player = kind; };
await import(worklet);

const player = new Player();
const trace = [], heard = [];
let next = 0;
for (let block = 0; block * BLOCK < seconds * RATE; block++) {
  globalThis.currentTime = (block * BLOCK) / RATE;
  for (; next < events.length && events[next].at <= currentTime; next++) {
    const { at, ...event } = events[next];
    player.port.onmessage({ data: event.samples ? { do: "sound", ...event } : { do: "cut", at: event.cut } });
  }
  const output = new Float32Array(BLOCK);
  player.process([], [[output]]);
  heard.push(...output);
  if (block % 8 === 0) trace.push([said.at, said.position, said.playing, said.margin, said.lead]);
}
process.stdout.write(JSON.stringify({ trace, heard: heard.map((value) => +value.toFixed(5)), underruns: said.underruns }));
