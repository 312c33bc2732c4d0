// The microphone tab's elements and words. Started by ui/tabs/microphone.py inside gr.HTML; talking is conversation.js.

import { microphones, openAudio, wake } from "./audio.js";
import { Conversation, choosePlayer } from "./conversation.js";
import { Meter } from "./meter.js";
import { watchOwnFace } from "./own-face.js";
import { holdEarlyPresses } from "./plain-press.js";

const NOTICE_MS = 5000;
/** What getUserMedia throws, and the sentence that helps. */
const REFUSALS = {
  NotAllowedError: "microphone",
  NotFoundError: "no_microphone",
  OverconstrainedError: "no_microphone",
  NotReadableError: "microphone_busy",
  NoLoudspeaker: "no_loudspeaker",
};

class Page {
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.canvas = root.querySelector("canvas");
    this.video = root.querySelector("video");
    this.status = root.querySelector(".ft-live-status");
    this.devices = root.querySelector(".ft-live-device select");
    this.meter = new Meter(root);
    this.conversation = null;
    this.on("start", () => (this.conversation ? this.stop("stopped") : this.begin(false)));
    this.on("sample", () => this.begin(true));
    this.on("interrupt", () => this.conversation && this.conversation.interrupt());
    this.on("mute", () => this.toggleMute());
    const [anyDevice] = this.devices.options;
    if (document.documentElement.lang === "zh") anyDevice.label = anyDevice.dataset.zh;
    this.devices.addEventListener("change", () => this.changeMicrophone());
    for (const choice of root.querySelectorAll("[name=ft-live-portrait]")) {
      choice.addEventListener("change", () => this.showPortrait());
    }
    watchOwnFace(root, () => this.showPortrait());
    this.showPortrait();
    this.listMicrophones();
    if (navigator.mediaDevices) navigator.mediaDevices.addEventListener("devicechange", () => this.listMicrophones());
    addEventListener("pagehide", () => this.conversation && this.stop("stopped"));
  }

  on(name, action) {
    this.button(name).addEventListener("click", action);
  }

  button(name) {
    return this.root.querySelector(`[data-do="${name}"]`);
  }

  get face() {
    return this.root.querySelector("[name=ft-live-portrait]:checked");
  }

  showPortrait() {
    const picture = this.face && this.face.parentElement.querySelector("img");
    if (picture) this.root.querySelector(".ft-live-still").src = picture.src;
    if (this.conversation) this.stop("changed");
  }

  async begin(withSample) {
    for (const name of ["start", "sample"]) this.button(name).disabled = true;
    this.clickedAt = performance.now();
    this.say(withSample ? "connecting" : "asking");
    try {
      await this.start(withSample);
    } catch (error) {
      this.fail(REFUSALS[error.name] || "player", String(error.message || error));
    }
  }

  async start(withSample) {
    if (!window.isSecureContext) return this.fail("insecure");
    const kind = await choosePlayer();
    if (!kind) return this.fail("unsupported");
    this.root.dataset.player = kind.name;
    if (this.audio) await wake(this.audio);
    else this.audio = await openAudio();
    const conversation = this.conversation = new Conversation(this, this.audio);
    const sample = withSample ? new URL(`live/voices/${this.face.dataset.voice}`, document.baseURI) : null;
    const hello = { token: this.options().token, portrait: this.face.value, prompt: "" };
    try {
      await conversation.open(kind, hello, { device: this.devices.value, sample });
    } catch (error) {
      if (!conversation.closed) throw error;  // else an old answer, after which the next one may talk already
    }
    conversation.mute(this.isMuted);
    this.listMicrophones();
    return undefined;
  }

  stop(reason) {
    const { conversation } = this;
    this.conversation = null;
    if (conversation) conversation.close();
    if (this.audio) this.audio.suspend();
    this.meter.loud(0);
    this.mark("idle");
    this.say(reason);
  }

  get isMuted() {
    return this.button("mute").getAttribute("aria-pressed") === "true";
  }

  toggleMute() {
    this.button("mute").setAttribute("aria-pressed", String(!this.isMuted));
    if (this.conversation) this.conversation.mute(this.isMuted);
  }

  /** The names of microphones, once the visitor has allowed one; the first choice is the browser's own. */
  async listMicrophones() {
    if (!navigator.mediaDevices) return;
    const found = (await microphones()).filter(({ deviceId }) => deviceId !== "default");
    const chosen = this.devices.value;
    this.devices.replaceChildren(this.devices.options[0], ...found.map((device) => new Option(device.label, device.deviceId)));
    this.devices.value = found.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  }

  /** One that is refused or busy changes nothing: the list shows again what is heard. */
  async changeMicrophone() {
    const { conversation } = this;
    if (!conversation) return;
    try {
      await conversation.listenTo(this.devices.value);
    } catch {
      if (this.conversation !== conversation) return;
      this.devices.value = conversation.device;
      this.notice({ code: "microphone_kept" });
    }
  }

  /** From the socket. */
  state(state) {
    if (state === "over") {
      if (this.conversation) this.stop("ended");
      return;
    }
    if (state === "lost") this.say("lost");
    else if (state === "connecting") this.say("connecting");
    this.mark("live");
  }

  fail(code, text = "") {
    this.stop("stopped");
    this.say(code, {}, text);
    this.root.dataset.state = "failed";
  }

  /** Shown for a while; a model that restarts says so until it is back. */
  notice({ code, message }) {
    this.say(code, {}, message);
    if (code !== "restarting") this.noticed = setTimeout(() => this.conversation && this.say("talking"), NOTICE_MS);
  }

  /** The sentence for `code` in both languages (the style shows one); in English an error's own, `told`, says more. */
  say(code, values = {}, told = "") {
    clearTimeout(this.noticed);
    const words = this.options().words, pair = words[code] || words.error;
    const fill = (text) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name] ?? "");
    this.status.replaceChildren(...["en", "zh"].map((language, index) => {
      const span = document.createElement("span");
      span.lang = language;
      span.className = "ft-lang";
      span.textContent = fill(pair[index] || told);
      return span;
    }));
  }

  mark(state) {
    this.root.dataset.state = state;
    const live = state === "live";
    this.button("start").setAttribute("aria-pressed", String(live));
    this.button("start").disabled = false;
    this.button("sample").disabled = live;
    for (const name of ["interrupt", "mute"]) this.button(name).disabled = !live;
  }
}

/** `options()` gives {token, words} as they are now: the page's server renews the token. */
export function start(element, options) {
  const root = element.querySelector(".ft-live");
  if (root.page) return;
  root.page = new Page(root, options);
  holdEarlyPresses();
}
