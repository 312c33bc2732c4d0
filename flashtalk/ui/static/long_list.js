// The visitor's films as rows with buttons; for long_video.js. Whoever has the focus in a row keeps it.

import { LIVE } from "./long_words.js";

const SURE_MS = 5000, DOUBLE_MS = 500;

export class FilmList {
  /** `does`: choose(id) and act(film, action), what the buttons do. */
  constructor(list, words, does) {
    this.list = list;
    this.words = words;
    this.does = does;
    this.rows = new Map();
  }

  draw(films, chosen) {
    const held = this.list.contains(document.activeElement) ? document.activeElement : null;
    const index = [...this.list.children].findIndex((row) => row.contains(held));
    this.rows = new Map(films.map((film) => [film.id, this.row(film, film.id === chosen)]));
    this.arrange([...this.rows.values()].map(({ row }) => row));
    if (held && !held.isConnected) this.focus(held.closest("li").dataset.id, held.dataset.do, index);
  }

  /** What stays is not taken out, not even for a moment: that would take the focus from it. */
  arrange(rows) {
    for (const row of [...this.list.children]) if (!rows.includes(row)) row.remove();
    rows.forEach((row, index) => {
      if (this.list.children[index] !== row) this.list.insertBefore(row, this.list.children[index] ?? null);
    });
  }

  /** The same button of the film, or the first of its row, or of the row that is now where it was. */
  focus(id, action, index) {
    const row = this.rows.get(id)?.row ?? this.list.children[Math.min(index, this.list.children.length - 1)];
    const same = this.rows.has(id) && action && row.querySelector(`[data-do=${action}]`);
    (same || row?.querySelector("button"))?.focus({ preventScroll: true });  // its owner may be at the film by now
  }

  row(film, isChosen) {
    const kind = [film.state, film.title, document.documentElement.lang].join();
    let known = this.rows.get(film.id);
    if (known?.kind !== kind) known = { kind, row: this.newRow(film) };
    const percent = film.state === "done" ? 100 : (100 * film.frames) / Math.max(1, film.goal_frames);
    if (isChosen) known.row.setAttribute("aria-current", "true");
    else known.row.removeAttribute("aria-current");
    known.row.querySelector(".ft-long-state").textContent = [this.words.state(film), this.words.figures(film)].filter(Boolean).join(" · ");
    known.row.querySelector(".ft-bar").setAttribute("aria-valuenow", Math.round(percent));
    known.row.querySelector(".ft-bar i").style.width = `${percent}%`;
    return known;
  }

  newRow(film) {
    const row = make("li", "ft-long-film", { "data-state": film.state, "data-id": film.id });
    const name = make("button", "ft-long-name", { type: "button" }, this.words.name(film));
    name.addEventListener("click", () => this.does.choose(film.id));
    const bar = make("div", "ft-bar", {
      role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": film.title || film.id,
    });
    bar.append(make("i"));
    row.append(name, make("p", "ft-long-state"), bar, this.buttons(film));
    return row;
  }

  buttons(film) {
    const row = make("div", "ft-long-buttons");
    const add = (name, sure = false) => row.append(this.button(name, () => this.does.act(film, name), sure));
    if (LIVE.includes(film.state)) add("pause");
    if (["paused", "failed"].includes(film.state)) add("resume");
    if (film.state === "done") {
      row.append(make("a", "ft-long-save", { href: `${film.media}film.mp4`, download: "" }, this.words.say("save")));
    }
    add([...LIVE, "paused", "failed"].includes(film.state) ? "cancel" : "remove", true);
    return row;
  }

  /** A key that is held presses once. */
  button(name, call, sure) {
    const button = make("button", "ft-long-button", { type: "button", "data-do": name }, this.words.say(name));
    button.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
    button.addEventListener("click", sure ? this.surely(button, name, call) : call);
    return button;
  }

  /** What cannot be undone takes a second click, which a double click is not. */
  surely(button, name, call) {
    let asked_ms = null;
    return ({ timeStamp }) => {
      if (asked_ms !== null) return timeStamp - asked_ms < DOUBLE_MS ? undefined : call();
      asked_ms = timeStamp;
      button.textContent = this.words.say("sure");
      setTimeout(() => {
        asked_ms = null;
        button.textContent = this.words.say(name);
      }, SURE_MS);
      return undefined;
    };
  }
}

export function make(tag, kind = "", attributes = {}, text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}
