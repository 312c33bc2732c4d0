// Some of the page's scripts among the little of a page that they ask for: node page_script.mjs < {scripts, acts} > results
// An act is [name, ...values] of `does` below; its result is what it gives.

import { readFileSync } from "node:fs";

const { scripts, acts } = JSON.parse(readFileSync(0, "utf8"));
const handlers = {};
const listen = (kind, act) => {
  const before = handlers[kind] ?? (() => {});
  handlers[kind] = (event) => (before(event), act(event));
};
const answers = [];
let films = [], due = null, time = 0;

const figure = () => ({ textContent: "", innerHTML: "", replaceChildren() { this.textContent = ""; } });
const counts = { b: figure(), data: figure() };
const line = { dataset: { mostEn: "10", mostZh: "4" }, querySelectorAll: (part) => [counts[part]] };
const notice = { dataset: { state: "ready" }, querySelector: () => ({ innerHTML: "cut" }), querySelectorAll: () => [] };
const film = (made_s) => {
  const parts = { p: figure(), ".ft-figures": figure() };
  return { dataset: { madeS: made_s }, busy: true, querySelector: (part) => parts[part],
    classList: { remove() { films[0].busy = false; } } };
};

const signs = new Set();
const stage = { video: null, querySelector: () => stage.video,
  classList: { toggle: (sign, on) => signs[on ? "add" : "delete"](sign) } };
const button = { pressed: "", setAttribute(_name, value) { this.pressed = value; } };
let compared = [], renew = null, starts = {}, status = null;
let told = "", links = null;
const form = { closest: () => ({ before: (line) => { told = line.textContent; } }) };
const comes = { dataset: { go: "ft-make" }, scrollIntoView() {} };
let isBusy = false;
const tab = { offsetParent: {}, contains: () => true, querySelector: (part) => [".ft-type", ".ft-project"].includes(part) || isBusy };
const uploads = [];
let ordered = 0, clocks = [];
globalThis.element = {
  closest: () => tab,
  querySelector: (part) => ({ ".ft-letters": line, ".ft-house": notice, ".ft-coming": comes, "[data-play]": button, "[data-start]": starts, ".ft-status": status })[part],
  querySelectorAll: (part) => (part === "video" ? compared : []), addEventListener() {},
};
globalThis.window = globalThis;
globalThis.document = {
  hidden: false, baseURI: "http://talk/", createElement: () => ({ setAttribute() {}, getContext() {} }),
  querySelector: (part) => ({ ".ft-not-taken": { remove: () => { told = ""; } }, "#ft-saves a": links, "input[type=password]": form })[part],
  getElementById: () => stage,
  documentElement: { lang: "en", dataset: {} },
  addEventListener: listen,
  querySelectorAll: () => films.filter((one) => one.busy),
};
globalThis.watch = (_name, act) => { renew = act; };
globalThis.addEventListener = listen;
globalThis.clearTimeout = (clock) => { clocks = clocks.filter((one) => one !== clock); };
globalThis.fetch = async (what) => {
  if (what === "upload") return new Promise((come, lose) => uploads.push({ come, lose }));
  return answers.shift() ?? Promise.reject(new Error("no network"));
};
globalThis.setTimeout = (act, after_ms) => {
  due = { act, at: time + after_ms };
  clocks.push(due);
  return due;
};

const at = (words, value = "") => ({ value, matches: (wanted) => wanted === words, closest: (wanted) => wanted.includes(words) });
/** A button of the tab; the one that makes the film, pressed by the page itself too, counts the films. */
const tabButton = (what) => {
  const known = {
    "ft-make": [".ft-go"], ".stop-button": [".stop-button", ".ft-drop-voice"],
    ".ft-chip": [".ft-chip", ".ft-step:has(#ft-voice) .ft-chip"],
  }[what] ?? [what];
  const is = (wanted) => wanted.split(", ").some((one) => known.includes(one));
  const button = { id: what, matches: is, closest: (wanted) => (wanted === "button" ? button : is(wanted)) };
  button.click = () => does.presses(what);
  return button;
};
const pressed = [];
const does = {
  type: (words) => handlers.input({ target: at(".ft-type textarea", words) }),
  click: (what) => handlers.click({ target: at(what) }),
  changed: (path) => void window.flashtalkTyped.changed(path && { path }),
  // A text was read out, or could not be.
  spoken: (isRead) => handlers["flashtalk:spoken"]?.({ detail: isRead }),
  // A project was read, or could not be.
  opened: (isOpen) => handlers["flashtalk:opened"]({ detail: isOpen }),
  counts: () => [counts.b.textContent, counts.data.textContent, line.dataset.state],
  speaks: () => [window.flashtalkTyped.pending(), line.dataset.state ?? ""],
  // A player's event: whether the film still plays after it.
  hears: (kind, film) => {
    const rects = film.seen ? [1] : [], inside = (part) => (part === film.inside ? {} : null);
    const player = { paused: false, getClientRects: () => rects, closest: inside, pause() { this.paused = true; } };
    document.pictureInPictureElement = film.floats ? player : null;
    handlers[kind]({ target: player });
    return !player.paused;
  },
  // The film of the page waits for more, and has had none for a while: what it plays then, from where, and whether.
  waits: (player) => {
    stage.video = { currentTime: 3, HAVE_CURRENT_DATA: 2, paused: false, src: "pieces", play: async () => {}, ...player };
    links = player.finished ? { href: "whole" } : null;
    handlers.waiting({ target: stage.video });
    due.act();
    return [stage.video.src, stage.video.currentTime];
  },
  // Events of the page's film, which is at second `at`: whether the page then asks for a press.
  stands: (at, ...kinds) => {
    stage.video = { currentTime: at, ended: false };
    for (const kind of kinds) handlers[kind]({ target: stage.video });
    return signs.has("ft-asks");
  },
  // The film of the page falls behind at second 40, of which `told` says how much is there; then the line says this: how
  // long the film waits from there on.
  falls_behind: (told, then) => {
    stage.video = { currentTime: 40, paused: false, pause() { this.paused = true; }, play: async () => {} };
    status = { dataset: told };
    handlers.waiting({ target: stage.video });
    status = { dataset: then };
    renew();
    return due.at - time;
  },
  // One of the films plays, or none; another one was made: what the button says, and how many play.
  compares_more: async (plays) => {
    starts = null;
    compared = [plays, false].map((on) => ({ paused: !on, hasAttribute: () => false,
      pause() { this.paused = true; }, play: async function () { this.paused = false; } }));
    button.pressed = "false";  // as the server wrote it
    renew();
    await new Promise(setImmediate);
    return [button.pressed, compared.filter((one) => !one.paused).length];
  },
  // Two films are there, and the browser answers so to each that should play: what the button says, and who is heard.
  compares: async (...answers) => {
    compared = answers.map((name, index) => ({
      muted: false, hasAttribute: () => index > 0, pause() {},
      play: async () => { if (name) throw Object.assign(new Error(name), { name }); },
    }));
    renew();
    await new Promise(setImmediate);
    return [button.pressed, compared.map((one) => !one.muted)];
  },
  // A button of the tab is pressed: how many films were ordered by now, and what the line says.
  presses: (what) => {
    let isHeld = false;
    const target = tabButton(what);
    handlers.click({ target, timeStamp: time, preventDefault() {}, stopImmediatePropagation: () => { isHeld = true; } });
    pressed.push(what);
    if (["ft-make", ".ft-card"].includes(what) && !isHeld) ordered++;
    return does.stands_now();
  },
  stands_now: () => [ordered, comes.dataset.state ?? ""],
  presses_so_far: () => pressed,
  // A comparison is being made.
  compares_now: () => { isBusy = true; },
  // A file of so many bytes goes, while the tab is in sight or not.
  brings: (bytes, name = "image.png", seen = true) => {
    tab.offsetParent = seen ? {} : null;
    const body = new FormData();
    body.append("upload_id", "1");
    body.append("files", new File([new Uint8Array(bytes)], name, name.endsWith("wav") ? { type: "audio/wav" } : {}));
    window.fetch("upload", { method: "POST", body }).catch(() => {});
  },
  // The oldest file on its way has come, with this answer, or is lost.
  answered: async (status) => {
    const { come, lose } = uploads.shift();
    status === "lost" ? lose(new Error("no network")) : come(new Response("[]", { status }));
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    return does.stands_now();
  },
  // So much later.
  passes: (ms) => {
    time += ms;
    for (const clock of clocks.filter(({ at }) => at <= time)) {
      clearTimeout(clock);
      clock.act();
    }
    return does.stands_now();
  },
  // The password was sent and this came back: what the page says then.
  login: async (status) => {
    answers.splice(0, 1, status === "lost" ? null : { status });
    await window.fetch("login", { method: "POST" });
    return told;
  },
  // The next answer about the house: a state, or "lost" for none; then how far the film is, and whether it goes on.
  poll: async (state, made_s) => {
    if (!films.length) films = [film(made_s)];
    films[0].dataset.madeS = made_s;
    answers.push(state === "lost" ? null : { ok: state !== 401, status: state, json: async () => ({ state }) });
    time = due.at;
    due.act();
    await new Promise(setImmediate);
    return [films[0].busy, notice.dataset.state];
  },
};

answers.push({ ok: true, json: async () => ({ state: "ready" }) });
for (const script of scripts) (0, eval)(`(() => {${readFileSync(script, "utf8")}})()`);
await new Promise(setImmediate);
const results = [];
for (const [name, ...values] of acts) results.push((await does[name](...values)) ?? null);
process.stdout.write(JSON.stringify(results));
