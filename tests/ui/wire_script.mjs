// The live page's line on a clock of the test's own: node wire_script.mjs < {script, opens, until_ms, dismissed_ms, welcome}
// gives {sockets, states, resumes}. `opens`: for each socket in turn, after how many milliseconds it opens; null: never.
// `welcome`: what an open one says first; null: nothing. `resumes`: the keys with which the page came.
// `dismissed_ms`: after so long the other side closes each that is open, as one that is too far behind; null: never.

import { readFileSync } from "node:fs";

const { script, opens, until_ms: until, dismissed_ms: dismissed, welcome } = JSON.parse(readFileSync(0, "utf8"));
let time = 0;
const due = [], sockets = [], states = [], resumes = [];
const later = (act, wait, every) => { due.push({ act, at: time + wait, every }); return due.at(-1); };
globalThis.setTimeout = (act, wait) => later(act, wait, 0);
globalThis.setInterval = (act, wait) => later(act, wait, wait);
globalThis.clearTimeout = globalThis.clearInterval = (timer) => { if (timer) timer.act = null; };
Object.defineProperty(globalThis, "performance", { value: { now: () => time } });
globalThis.WebSocket = class {
  static OPEN = 1;
  constructor() {
    this.readyState = 0;
    this.bufferedAmount = 0;
    sockets.push(time);
    const wait = opens[sockets.length - 1] ?? null;
    if (wait !== null) setTimeout(() => this.opens(), wait);
  }
  opens() {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.onopen();
    if (welcome) this.onmessage({ data: JSON.stringify(welcome) });
    if (dismissed !== null) setTimeout(() => { this.close(); this.onclose?.({ code: 4408 }); }, dismissed);
  }
  send(text) {
    const message = JSON.parse(text);
    if (message.type === "hello") resumes.push(message.resume);
  }
  close() { this.readyState = 3; }
};

const { Wire } = await import(script);
new Wire("ws://talk/", {}, { words() {}, media() {}, state: (name) => states.push([time, name]) });
while (true) {
  const next = due.filter((one) => one.act).sort((one, other) => one.at - other.at)[0];
  if (!next || next.at > until) break;
  time = next.at;
  const { act, every } = next;
  if (every) next.at += every;
  else next.act = null;
  act();
}
process.stdout.write(JSON.stringify({ sockets, states, resumes }));
