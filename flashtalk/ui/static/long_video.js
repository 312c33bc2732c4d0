// The long-video tab: a visitor's films, watched while they grow. Talks to ui/long_routes.py; markup in ui/long_page.py.

import { Player } from "./long_player.js";

const SOON_MS = 1000, LATER_MS = 5000;
const KEPT = { visitor: "flashtalk_visitor", film: "flashtalk_film" };
const LIVE = ["waiting", "rendering"];
const CURVES = [["likeness", 1], ["sharpness", 2], ["colour", 3]];
const WIDE = 400, HIGH = 90, PORTRAIT_Y = 30;
const SPAN_S = 3;

let page = null;

export function start(element) {
  const root = element.querySelector(".ft-long");
  if (!root || root.dataset.started) return;
  root.dataset.started = "yes";
  page = new Page(root);
  window.flashtalkLong = { order: (values) => page.order(values), look: () => page.ordered() };
  page.look();
}

class Page {
  constructor(root) {
    this.root = root;
    this.words = JSON.parse(root.dataset.words);
    this.chinese = JSON.parse(root.dataset.why);
    this.list = root.querySelector(".ft-long-list");
    this.note = root.querySelector(".ft-long-note");
    this.detail = root.querySelector(".ft-long-detail");
    this.video = root.querySelector("video");
    this.video.addEventListener("pause", () => this.offerSpan());
    this.player = new Player(this.video);
    this.films = [];
    this.rows = new Map();
    this.chosen = localStorage.getItem(KEPT.film);
    this.key = null;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  say(name, values = {}) {
    const text = this.words[name][document.documentElement.lang === "zh" ? 1 : 0];
    return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  }

  /** An error's sentence; one without a code is of the guards before the routes, or none of ours. */
  why(code, words) {
    if (!code) return window.flashtalkPage.told(words) || this.say("lost");
    return document.documentElement.lang === "zh" ? this.chinese[code] || this.chinese.error : words;
  }

  // Talking to the server

  /** The visitor's token; who asks for the first one meanwhile gets the same. Throws as `ask` does. */
  async visitor() {
    const kept = localStorage.getItem(KEPT.visitor);
    if (kept) return kept;
    this.first ??= this.told(fetch("ft/jobs/visitor", { method: "POST" })).finally(() => (this.first = null));
    const { visitor } = await this.first;
    localStorage.setItem(KEPT.visitor, visitor);
    return visitor;
  }

  async ask(path, method = "GET", body = undefined) {
    const headers = { "x-flashtalk-visitor": await this.visitor() };
    if (body) headers["content-type"] = "application/json";
    return this.told(fetch(`ft/jobs${path}`, { method, headers, body: body && JSON.stringify(body) }));
  }

  /** What the server answers. Throws an error with the sentence of a refusal. */
  async told(asked) {
    const answer = await asked, tree = await answer.json().catch(() => ({}));
    if (tree.code === "token_refused") localStorage.removeItem(KEPT.visitor);
    if (!answer.ok) throw new Error(this.why(tree.code, tree.error));
    return tree;
  }

  async order(values) {
    this.player.allow();
    this.key ??= randomKey();  // a second click before the answer is the same order
    this.tell(this.say("taking"));
    try {
      return [...values.slice(0, -1), JSON.stringify({ visitor: await this.visitor(), key: this.key })];
    } catch (error) {
      this.key = null;
      this.fail(error);
      throw error;
    }
  }

  async ordered() {
    this.key = null;
    const known = new Set(this.films.map((film) => film.id));
    await this.look();
    const fresh = this.films.find((film) => !known.has(film.id));
    if (!fresh) return;
    this.player.playsNext = true;  // the visitor asked for it just now
    this.choose(fresh.id);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;  // the button may be a page below
    this.root.querySelector(".ft-long-stage").scrollIntoView({ behavior: calm ? "instant" : "smooth", block: "nearest" });
  }

  async look() {
    clearTimeout(this.timer);
    try {
      this.films = Object.values(await this.ask(""));
      if (!this.films.some((film) => film.id === this.chosen)) this.chosen = this.films[0]?.id ?? null;
      this.draw();
      await this.follow();
    } catch (error) {
      this.fail(error);
    }
    const busy = this.films.some((film) => LIVE.includes(film.state));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), busy && !document.hidden ? SOON_MS : LATER_MS);
  }

  async act(film, action, body) {
    if (["pause", "cancel"].includes(action) && film.state === "rendering") this.tell(this.say("asked"));
    try {
      const made = await this.ask(`/${film.id}/${action}`, "POST", body);
      if (made.id) this.chosen = made.id;
      await this.look();
    } catch (error) {
      this.fail(error);
    }
  }

  choose(id) {
    this.chosen = id;
    localStorage.setItem(KEPT.film, id);
    this.look();
  }

  offerSpan() {
    const fields = this.detail.querySelector("form")?.elements;
    if (!fields || this.video.ended) return;
    const from = Math.min(this.video.currentTime, fields.from.max - 0.1);
    fields.from.value = from.toFixed(1);
    fields.to.value = Math.min(from + SPAN_S, fields.to.max).toFixed(1);
  }

  fail(error) {
    this.tell(error instanceof TypeError ? this.say("lost") : error.message);
  }

  tell(words) {
    if (this.note.textContent !== words) this.note.textContent = words;
  }

  // Drawing

  draw() {
    this.root.dataset.state = this.films.length ? "some" : "none";
    if (!this.films.length) {
      this.tell(this.say("none"));
      this.list.replaceChildren();
      this.player.clear();
      this.detail.hidden = true;
      return;
    }
    const rows = this.films.map((film) => this.row(film));
    if (rows.some((row, index) => this.list.children[index] !== row) || this.list.children.length !== rows.length) {
      this.list.replaceChildren(...rows);
    }
  }

  row(film) {
    // A row is made anew only when its buttons change, so that nobody's focus gets lost.
    const kind = [film.state, film.title, film.id === this.chosen, document.documentElement.lang].join();
    let known = this.rows.get(film.id);
    if (known?.kind !== kind) {
      known = { kind, row: this.newRow(film) };
      this.rows.set(film.id, known);
    }
    const percent = film.state === "done" ? 100 : (100 * film.frames) / Math.max(1, film.goal_frames);
    known.row.querySelector(".ft-long-state").textContent = this.state(film);
    known.row.querySelector(".ft-bar").setAttribute("aria-valuenow", Math.round(percent));
    known.row.querySelector(".ft-bar i").style.width = `${percent}%`;
    return known.row;
  }

  newRow(film) {
    const row = make("li", "ft-long-film", { "data-state": film.state, "data-id": film.id });
    if (film.id === this.chosen) row.setAttribute("aria-current", "true");
    const name = make("button", "ft-long-name", { type: "button" }, film.title || when(film.created_s));
    name.addEventListener("click", () => this.choose(film.id));
    const bar = make("div", "ft-bar", {
      role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": film.title || film.id,
    });
    bar.append(make("i"));
    row.append(name, make("p", "ft-long-state"), bar, this.buttons(film));
    return row;
  }

  state(film) {
    const parts = [this.say(film.state, { place: film.place ?? 1 })];
    if (film.span_s) parts.push(this.say("part", { from: film.span_s[0].toFixed(1), to: film.span_s[1].toFixed(1) }));
    if (film.state !== "done") parts.push(`${clock(film.frames / film.frames_a_second)} / ${clock(film.goal_frames / film.frames_a_second)}`);
    else parts.push(clock(film.seconds));
    if (film.state === "rendering" && film.made_fps) parts.push(this.say("fps", { fps: film.made_fps }));
    if (film.left_s !== null && film.state === "rendering") parts.push(this.say("left", { time: clock(film.left_s) }));
    if (film.reason) parts.push(this.why(film.reason_code, film.reason));
    if (!LIVE.includes(film.state)) parts.push(this.say("kept", { size: bytes(film.bytes), day: day(film.kept_until_s) }));
    return parts.join(" · ");
  }

  buttons(film) {
    const row = make("div", "ft-long-buttons");
    const add = (name, call, sure = false) => row.append(this.button(name, call, sure));
    if (LIVE.includes(film.state)) add("pause", () => this.act(film, "pause"));
    if (["paused", "failed"].includes(film.state)) add("resume", () => this.act(film, "resume"));
    if (film.state === "done") {
      const save = make("a", "ft-long-save", { href: `${film.media}film.mp4`, download: "" }, this.say("save"));
      row.append(save);
    }
    if ([...LIVE, "paused", "failed"].includes(film.state)) add("cancel", () => this.act(film, "cancel"), true);
    else add("remove", () => this.act(film, "remove"), true);
    return row;
  }

  button(name, call, sure) {
    const button = make("button", "ft-long-button", { type: "button", "data-do": name }, this.say(name));
    let asked = false;
    button.addEventListener("click", () => {
      if (!sure || asked) return call();
      asked = true;  // what cannot be undone takes a second click
      button.textContent = this.say("sure");
      setTimeout(() => {
        asked = false;
        button.textContent = this.say(name);
      }, LATER_MS);
      return undefined;
    });
    return button;
  }

  async follow() {
    const film = this.films.find((one) => one.id === this.chosen);
    if (!film) return;
    this.player.show(film);
    if (this.key) return;  // an order is under way, and the note says so
    this.tell(`${film.title || when(film.created_s)}: ${this.state(film)}`);
    if (!film.chunks) {
      this.detail.hidden = true;
      return;
    }
    const whole = await this.ask(`/${film.id}`);
    if (film.id === this.chosen) this.drawDetail(whole);
  }

  drawDetail(film) {
    this.detail.hidden = false;
    const state = `${film.id} ${film.state}`;
    if (this.detail.dataset.shown !== state) {
      this.detail.dataset.shown = state;
      const chart = make("div", "ft-long-chart");
      this.detail.replaceChildren(make("h4", "", {}, this.say("drift")), chart, make("p", "ft-long-hint", {}, this.say("drift_hint")));
      if (film.state === "done") this.detail.append(this.againForm(film));
    }
    this.detail.querySelector(".ft-long-chart").replaceChildren(this.chart(film), this.legend(film));
  }

  chart(film) {
    const figure = make("div", "ft-long-plot");
    const svg = makeSvg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": this.say("drift") });
    const long = Math.max(film.frames / film.frames_a_second, 1);
    svg.append(makeSvg("line", { x1: 0, x2: WIDE, y1: PORTRAIT_Y, y2: PORTRAIT_Y }));
    for (const [name, column] of CURVES) {
      // Likeness and sharpness: 1 is the portrait. Colour: 10 fills the chart.
      const scale = name === "colour" ? HIGH / 10 : HIGH - PORTRAIT_Y;
      const height = (point) => Math.min(HIGH, Math.max(0, HIGH - scale * point[column])).toFixed(1);
      const points = film.drift.map((point) => `${(WIDE * point[0]) / long},${height(point)}`);
      svg.append(makeSvg("polyline", { class: `ft-long-${name}`, points: points.join(" ") }));
    }
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      this.video.currentTime = (long * (event.clientX - box.left)) / box.width;
    });
    figure.append(svg, make("span", "", {}, clock(0)), make("span", "", {}, clock(long)));
    return figure;
  }

  legend(film) {
    const row = make("p", "ft-long-legend");
    const last = film.drift.at(-1);
    for (const [name, column] of CURVES) row.append(make("span", `ft-long-${name}`, {}, `${this.say(name)} ${last[column].toFixed(2)}`));
    return row;
  }

  againForm(film) {
    const form = make("form", "ft-long-again");
    const field = (name, value) => {
      const label = make("label", "", {}, `${this.say(name)} `);
      const input = make("input", "", { type: "number", min: 0, max: film.seconds, step: 0.1, value, name, required: "" });
      label.append(input);
      return label;
    };
    form.append(
      make("h4", "", {}, this.say("again")),
      make("p", "ft-long-hint", {}, this.say("again_hint")),
      field("from", 0), field("to", Math.min(film.seconds, SPAN_S).toFixed(1)),
      make("button", "ft-long-button", { type: "submit" }, this.say("again_go")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
      const body = { first_s: Number(form.elements.from.value), end_s: Number(form.elements.to.value), seed, key: randomKey() };
      this.act(film, "again", body);
    });
    return form;
  }
}

function make(tag, kind = "", attributes = {}, text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function clock(seconds) {
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  const minutes = `${Math.floor(whole / 60) % 60}:${two(whole % 60)}`;
  return whole < 3600 ? minutes : `${Math.floor(whole / 3600)}:${minutes.padStart(5, "0")}`;
}

function bytes(count) {
  return count < 1e9 ? `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

function day(seconds) {
  return new Date(1000 * seconds).toLocaleDateString(document.documentElement.lang, { dateStyle: "medium" });
}

function when(seconds) {
  return new Date(1000 * seconds).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
}
