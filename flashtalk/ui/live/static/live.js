// The microphone tab: joins microphone, socket, player and meter. Started by ui/tabs/microphone.py inside gr.HTML.

import { Microphone, SoundQueue, openAudio } from "./audio.js";
import { FramePlayer } from "./frame-player.js";
import { Meter } from "./meter.js";
import { watchOwnFace } from "./own-face.js";
import { SegmentPlayer } from "./segment-player.js";
import { Wire } from "./wire.js";

const REPORT_MS = 250;
const SHOW_MS = 200;
const MIC_RATE = 16000;
const NOTICE_MS = 5000;
const KEPT_CHUNKS = 16;
const BUFFER_LOOKS = 12;

/** Which player this browser can use, or null. `?player=mse` asks for one. */
async function choosePlayer() {
  if (!window.isSecureContext || !navigator.mediaDevices || !("AudioWorkletNode" in window)) return null;
  const asked = new URLSearchParams(location.search).get("player");
  for (const kind of [FramePlayer, SegmentPlayer]) {
    if ((!asked || asked === kind.name) && (await kind.works())) return kind;
  }
  return null;
}

/** One conversation, from Start to Stop. */
class Conversation {
  constructor(page, audio) {
    this.page = page;
    this.audio = audio;
    this.chunks = [];
    this.pieceAt = new Map();
    this.dropped = 0;
    this.buffers = [];
  }

  async open(kind, hello) {
    const problem = (text) => this.page.fail("player", text);
    this.player = kind === FramePlayer
      ? new FramePlayer(this.page.canvas, new SoundQueue(this.audio), problem)
      : new SegmentPlayer(this.page.video, problem);
    this.microphone = await Microphone.open(this.audio, (piece) => this.speak(piece));
    const address = new URL("live/socket", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = "";
    this.wire = new Wire(address, { ...hello, player: kind.name }, {
      words: (message) => this.obey(message),
      media: (message) => this.player.take(message),
      state: (state) => this.page.state(state),
    });
    this.timers = [setInterval(() => this.report(), REPORT_MS), setInterval(() => this.show(), SHOW_MS)];
  }

  speak({ first, at, peak, samples }) {
    this.pieceAt.set(first, at);
    this.pieceAt.delete(first - 60 * MIC_RATE);
    this.page.meter.loud(peak);
    if (this.wire) this.wire.speak(first, samples);
  }

  obey(message) {
    switch (message.type) {
      case "ready": this.player.setup(message); break;
      case "segments": this.player.file(message); break;
      case "epoch": this.begin(message); break;
      case "chunk": this.chunks = [...this.chunks.slice(-KEPT_CHUNKS), message]; break;
      case "stages": this.measure(message); break;
      case "place": this.page.say("place", { place: message.place }); break;
      case "notice": this.page.notice(message); break;
      case "error": this.page.fail(message.code, message.message); break;
      default: break;
    }
  }

  begin({ epoch, at_s: at, reason, number }) {
    this.chunks = this.chunks.filter((chunk) => chunk.number <= number);
    this.player.begin(epoch, at, reason);
    if (reason !== "interrupt") this.page.say("talking");
  }

  measure(message) {
    this.dropped = message.pictures_dropped;
    this.page.meter.stages(message);
  }

  /** The chunk that is heard now. */
  current() {
    const now = this.player.now();
    return this.chunks.find((chunk) => chunk.start_s <= now && now < chunk.end_s) || null;
  }

  /** Silence at once; the mouth closes with the next chunk. */
  interrupt() {
    const chunk = this.current() || this.chunks.at(-1);
    if (!chunk) return;
    this.player.cut(chunk.end_s);
    this.wire.say({ type: "interrupt", shown: chunk.number });
  }

  report() {
    this.wire.say({ type: "report", received_s: this.player.receivedS });
  }

  /** Seconds between a sound at the microphone and the same sound at the loudspeaker, from this page's own clock. */
  trueDelay() {
    const chunk = this.current();
    if (!chunk || chunk.captured === null) return null;
    const now = this.player.now();
    const sample = chunk.captured - (chunk.end_s - now) * MIC_RATE;
    const first = Math.floor(sample / 640) * 640;
    const at = this.pieceAt.get(first);
    return at === undefined ? null : this.audio.currentTime - at - (sample - first - 640) / MIC_RATE;
  }

  show() {
    const { meter } = this.page;
    meter.note("network", this.wire.roundTripS / 2);
    this.buffers = [...this.buffers.slice(1 - BUFFER_LOOKS), this.player.bufferedS];
    meter.note("buffer", Math.min(...this.buffers));
    const delay = this.trueDelay();
    if (delay !== null) meter.delay(delay);
    this.page.root.classList.toggle("ft-live-painted", this.player.figures.painted > 0);
    meter.show({ late: this.player.figures.late, dropped: this.dropped, reconnects: this.wire.reconnects });
  }

  mute(muted) {
    this.microphone.mute(muted);
  }

  close() {
    (this.timers || []).forEach(clearInterval);
    if (this.wire) this.wire.close();
    if (this.microphone) this.microphone.close();
    if (this.player) this.player.close();
  }
}

/** The tab's elements and words. */
class Page {
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.canvas = root.querySelector("canvas");
    this.video = root.querySelector("video");
    this.status = root.querySelector(".ft-live-status");
    this.meter = new Meter(root);
    this.conversation = null;
    this.on("start", () => this.toggle());
    this.on("interrupt", () => this.conversation && this.conversation.interrupt());
    this.on("mute", () => this.toggleMute());
    for (const choice of root.querySelectorAll("[name=ft-live-portrait]")) {
      choice.addEventListener("change", () => this.showPortrait());
    }
    watchOwnFace(root, () => this.showPortrait());
    this.showPortrait();
    addEventListener("pagehide", () => this.conversation && this.conversation.close());
  }

  on(name, action) {
    this.root.querySelector(`[data-do="${name}"]`).addEventListener("click", action);
  }

  button(name) {
    return this.root.querySelector(`[data-do="${name}"]`);
  }

  portrait() {
    const choice = this.root.querySelector("[name=ft-live-portrait]:checked");
    return choice ? choice.value : "";
  }

  showPortrait() {
    const choice = this.root.querySelector("[name=ft-live-portrait]:checked");
    const picture = choice && choice.parentElement.querySelector("img");
    if (picture) this.root.querySelector(".ft-live-still").src = picture.src;
    if (this.conversation) this.stop("changed");
  }

  async toggle() {
    if (this.conversation) {
      this.stop("stopped");
      return;
    }
    this.setBusy(true);
    this.clickedAt = performance.now();
    this.say("connecting");
    try {
      await this.start();
    } catch (error) {
      this.fail(error.name === "NotAllowedError" ? "microphone" : "player", String(error.message || error));
    }
    this.setBusy(false);
  }

  async start() {
    const kind = await choosePlayer();
    if (!kind) {
      this.say("unsupported");
      return;
    }
    this.root.dataset.player = kind.name;
    this.audio = this.audio || (await openAudio());
    await this.audio.resume();
    this.conversation = new Conversation(this, this.audio);
    const { token } = this.options();
    await this.conversation.open(kind, { token, portrait: this.portrait(), prompt: "" });
  }

  stop(reason) {
    const { conversation } = this;
    this.conversation = null;
    if (conversation) conversation.close();
    this.mark("idle");
    this.say(reason);
  }

  toggleMute() {
    const pressed = this.button("mute").getAttribute("aria-pressed") !== "true";
    this.button("mute").setAttribute("aria-pressed", String(pressed));
    if (this.conversation) this.conversation.mute(pressed);
  }

  /** From the socket. */
  state(state) {
    if (state === "over" && this.conversation && !this.failed) this.stop("ended");
    else if (state === "lost") this.say("lost");
    if (state !== "over") this.mark("live");
  }

  fail(code, text) {
    this.failed = true;
    this.stop("stopped");
    this.failed = false;
    this.say(code, {}, text);
    this.root.dataset.state = "failed";
  }

  /** Shown for a while. */
  notice({ code, message }) {
    this.say(code, {}, message);
    clearTimeout(this.noticed);
    this.noticed = setTimeout(() => this.conversation && this.say("talking"), NOTICE_MS);
  }

  /** The sentence for `code` in both languages (the style shows one), or `fallback`. */
  say(code, values = {}, fallback = "") {
    const pair = this.options().words[code] || [fallback, fallback];
    const fill = (text) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name] ?? "");
    this.status.replaceChildren(...["en", "zh"].map((language, index) => {
      const span = document.createElement("span");
      span.lang = language;
      span.className = "ft-lang";
      span.textContent = fill(pair[index]);
      return span;
    }));
  }

  mark(state) {
    this.root.dataset.state = state;
    const live = state === "live";
    this.button("start").setAttribute("aria-pressed", String(live));
    for (const name of ["interrupt", "mute"]) this.button(name).disabled = !live;
  }

  setBusy(busy) {
    this.button("start").disabled = busy;
  }
}

/** `options()` gives {token, words} as they are now: the page's server renews the token. */
export function start(element, options) {
  const root = element.querySelector(".ft-live");
  if (root.page) return;
  root.page = new Page(root, options);
}
