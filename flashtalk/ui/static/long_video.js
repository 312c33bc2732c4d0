// The long-video tab: a visitor's films, watched while they grow. Talks to ui/long_routes.py; markup in ui/long_page.py.

import { FilmList, make } from "./long_list.js";
import { Player } from "./long_player.js";
import { LIVE, Words, clock } from "./long_words.js";

const SOON_MS = 1000, LATER_MS = 5000, PATIENCE_MS = 10000;
const KEPT = { visitor: "flashtalk_visitor", film: "flashtalk_film" };
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
    this.words = new Words(JSON.parse(root.dataset.words), JSON.parse(root.dataset.why));
    this.list = new FilmList(root.querySelector(".ft-long-list"), this.words, this);
    this.note = root.querySelector(".ft-long-note");
    this.figures = root.querySelector(".ft-long-figures");
    this.detail = root.querySelector(".ft-long-detail");
    this.video = root.querySelector("video");
    this.video.addEventListener("pause", () => this.offerSpan());
    this.player = new Player(this.video);
    this.films = [];
    this.chosen = localStorage.getItem(KEPT.film);
    this.turn = 0;
    this.key = this.known = this.stops = null;
    this.isRefused = false;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  // Talking to the server

  /** The visitor's token; who asks for the first one meanwhile gets the same. Throws as `ask` does. */
  async visitor() {
    const kept = localStorage.getItem(KEPT.visitor);
    if (kept) return kept;
    const asked = () => fetch("ft/jobs/visitor", { method: "POST", signal: AbortSignal.timeout(PATIENCE_MS) });
    this.first ??= this.told(asked()).finally(() => (this.first = null));
    const { visitor } = await this.first;
    localStorage.setItem(KEPT.visitor, visitor);
    return visitor;
  }

  async ask(path, method = "GET", body = undefined) {
    const headers = { "x-flashtalk-visitor": await this.visitor() };
    if (body) headers["content-type"] = "application/json";
    const signal = method === "GET" ? AbortSignal.timeout(PATIENCE_MS) : undefined;  // what was pressed may be done by now
    return this.told(fetch(`ft/jobs${path}`, { method, headers, signal, body: body && JSON.stringify(body) }));
  }

  /** What the server answers. Throws an error with the sentence of a refusal. */
  async told(asked) {
    const answer = await asked, tree = await answer.json().catch(() => null);
    if (tree?.code === "token_refused") localStorage.removeItem(KEPT.visitor);
    if (!answer.ok || !tree) throw new Error(this.words.why(tree?.code, tree?.error));
    return tree;
  }

  async order(values) {
    this.player.allow();
    this.isRefused = false;
    this.key ??= randomKey();  // a second click before the answer is the same order
    this.known ??= new Set(this.films.map((film) => film.id));
    this.tell(this.words.say("taking"));
    try {
      return [...values.slice(0, -1), JSON.stringify({ visitor: await this.visitor(), key: this.key })];
    } catch (error) {
      this.key = this.known = null;
      this.refuse(error);
      throw error;
    }
  }

  ordered() {
    this.key = null;
    return this.look();
  }

  /** The film that was ordered is shown, and plays. */
  welcome() {
    const fresh = this.films.find((film) => !this.known.has(film.id));
    this.known = null;
    if (!fresh) return;
    this.player.playsNext = fresh.id;
    this.keep(fresh.id);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;  // the button may be a page below
    this.root.querySelector(".ft-long-stage").scrollIntoView({ behavior: calm ? "instant" : "smooth", block: "nearest" });
  }

  async look() {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    try {
      const films = Object.values(await this.ask(""));
      if (turn !== this.turn) return;  // it was asked before the one that counts
      this.films = films;
      if (this.known && !this.key) this.welcome();
      if (!this.films.some((film) => film.id === this.chosen)) this.chosen = this.films[0]?.id ?? null;
      this.draw();
      await this.follow();
    } catch (error) {
      if (turn === this.turn) this.report(this.sentence(error));
    }
    if (turn !== this.turn) return;
    const busy = this.films.some((film) => LIVE.includes(film.state));
    this.timer = setTimeout(() => this.look(), busy && !document.hidden ? SOON_MS : LATER_MS);
  }

  /** Whether it was answered. */
  async act(film, action, body) {
    this.isRefused = false;
    if (["pause", "cancel"].includes(action) && film.state === "rendering") {
      this.stops = film.id;
      this.tell(this.words.say("asked"));
    }
    try {
      const made = await this.ask(`/${film.id}/${action}`, "POST", body);
      if (made.id) this.chosen = made.id;
      await this.look();
      return true;
    } catch (error) {
      this.stops = null;
      this.refuse(error);
      return this.isRefused;
    }
  }

  choose(id) {
    this.keep(id);
    this.look();
  }

  keep(id) {
    this.isRefused = false;
    this.chosen = id;
    localStorage.setItem(KEPT.film, id);
  }

  offerSpan() {
    const fields = this.detail.querySelector("form")?.elements;
    if (!fields || this.video.ended) return;
    const from = Math.min(this.video.currentTime, fields.from.max - 0.1);
    fields.from.value = from.toFixed(1);
    fields.to.value = Math.min(from + SPAN_S, fields.to.max).toFixed(1);
  }

  sentence(error) {
    return error instanceof TypeError || error instanceof DOMException ? this.words.say("lost") : error.message;
  }

  /** What came of a press stays in the note until the next one; a server that is lost is looked for anyhow. */
  refuse(error) {
    this.tell(this.sentence(error));
    this.isRefused = this.note.textContent !== this.words.say("lost");
  }

  /** What nobody pressed for. */
  report(words, figures = "") {
    if (!this.isRefused) this.tell(words, figures);
  }

  /** The note is read out when it changes; the figures, which change every second, are not. */
  tell(words, figures = "") {
    if (this.note.textContent !== words) this.note.textContent = words;
    this.figures.textContent = figures;
  }

  // Drawing

  draw() {
    this.root.dataset.state = this.films.length ? "some" : "none";
    this.list.draw(this.films, this.chosen);
    if (this.films.length) return;
    this.report(this.words.say(this.key ? "taking" : "none"));
    this.player.clear();
    this.detail.hidden = true;
  }

  async follow() {
    const film = this.films.find((one) => one.id === this.chosen);
    if (!film) return;
    this.player.show(film);
    if (this.key) {
      this.report(this.words.say("taking"));
      return;
    }
    if (!this.films.some((one) => one.id === this.stops && one.state === "rendering")) this.stops = null;
    if (this.stops === film.id) this.report(this.words.say("asked"));
    else this.report(`${this.words.name(film)}: ${this.words.state(film)}`, this.words.figures(film));
    if (!film.chunks) {
      this.detail.hidden = true;
      return;
    }
    const whole = await this.ask(`/${film.id}`);
    if (film.id === this.chosen && this.films.includes(film)) this.drawDetail(whole);
  }

  drawDetail(film) {
    this.detail.hidden = false;
    const state = `${film.id} ${film.state}`;
    if (this.detail.dataset.shown !== state) {
      this.detail.dataset.shown = state;
      const chart = make("div", "ft-long-chart");
      this.detail.replaceChildren(make("h4", "", {}, this.words.say("drift")), chart, make("p", "ft-long-hint", {}, this.words.say("drift_hint")));
      if (film.state === "done") this.detail.append(this.againForm(film));
    }
    const chart = this.detail.querySelector(".ft-long-chart");
    if (!chart.matches(":active")) chart.replaceChildren(this.chart(film), this.legend(film));  // not under a press
  }

  chart(film) {
    const figure = make("div", "ft-long-plot");
    const svg = makeSvg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": this.words.say("drift") });
    const long = Math.max(film.frames / film.frames_a_second, 1);
    const start = film.state === "done" ? 0 : film.span_s?.[0] ?? 0;  // of a part that is made, only its own is there
    svg.append(makeSvg("line", { x1: 0, x2: WIDE, y1: PORTRAIT_Y, y2: PORTRAIT_Y }));
    for (const [name, column] of CURVES) {
      // Likeness and sharpness: 1 is the portrait. Colour: 10 fills the chart.
      const scale = name === "colour" ? HIGH / 10 : HIGH - PORTRAIT_Y;
      const height = (point) => Math.min(HIGH, Math.max(0, HIGH - scale * point[column])).toFixed(1);
      const points = film.drift.map((point) => `${(WIDE * (point[0] - start)) / long},${height(point)}`);
      svg.append(makeSvg("polyline", { class: `ft-long-${name}`, points: points.join(" ") }));
    }
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      this.video.currentTime = start + (long * (event.clientX - box.left)) / box.width;
    });
    figure.append(svg, make("span", "", {}, clock(start)), make("span", "", {}, clock(start + long)));
    return figure;
  }

  legend(film) {
    const row = make("p", "ft-long-legend");
    const last = film.drift.at(-1);
    for (const [name, column] of CURVES) row.append(make("span", `ft-long-${name}`, {}, `${this.words.say(name)} ${last[column].toFixed(2)}`));
    return row;
  }

  againForm(film) {
    const form = make("form", "ft-long-again");
    const most = Math.ceil(10 * film.seconds) / 10;  // a number of the field's steps; the server knows the end
    const field = (name, value) => {
      const label = make("label", "", {}, `${this.words.say(name)} `);
      const input = make("input", "", { type: "number", min: 0, max: most, step: 0.1, value, name, required: "" });
      label.append(input);
      return label;
    };
    form.append(
      make("h4", "", {}, this.words.say("again")),
      make("p", "ft-long-hint", {}, this.words.say("again_hint")),
      field("from", 0), field("to", Math.min(film.seconds, SPAN_S).toFixed(1)),
      make("button", "ft-long-button", { type: "submit" }, this.words.say("again_go")),
    );
    let body = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const first_s = Number(form.elements.from.value), end_s = Number(form.elements.to.value);
      if (body?.first_s !== first_s || body.end_s !== end_s) {
        body = { first_s, end_s, seed: crypto.getRandomValues(new Uint32Array(1))[0] >>> 1, key: randomKey() };
      }
      const asked = body;  // until it is answered, a second press is the same order
      if ((await this.act(film, "again", asked)) && body === asked) body = null;
    });
    return form;
  }
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
