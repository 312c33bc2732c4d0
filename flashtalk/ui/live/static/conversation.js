// One conversation, from Start to Stop: joins what the face hears, the socket and the player. Made by live.js.

import { Ear, SoundQueue } from "./audio.js";
import { FramePlayer } from "./frame-player.js";
import { SegmentPlayer } from "./segment-player.js";
import { Wire } from "./wire.js";

const REPORT_MS = 250;
const SHOW_MS = 200;
const MIC_RATE = 16000;
const PIECE = 640;
const KEPT_CHUNKS = 16;
const SAMPLE_ROUNDS = 4;
const ASLEEP_MS = 1500;

/** Which player this browser can use, or null. `?player=mse` asks for one. */
export async function choosePlayer() {
  if (!("AudioWorkletNode" in window)) return null;
  const asked = new URLSearchParams(location.search).get("player");
  for (const kind of [FramePlayer, SegmentPlayer]) {
    if ((!asked || asked === kind.name) && (await kind.works())) return kind;
  }
  return null;
}

export class Conversation {
  constructor(page, audio) {
    this.page = page;
    this.audio = audio;
    this.chunks = [];
    this.pieceAt = new Map();
    this.dropped = this.wordsLostS = 0;
    this.lookedAt = performance.now();
    this.ear = new Ear(audio, (piece) => this.speak(piece));
    this.onShow = () => this.wake();
    document.addEventListener("visibilitychange", this.onShow);
  }

  /** `sample`: the address of a voice that speaks in place of the microphone `device`. */
  async open(kind, hello, { device, sample }) {
    const problem = (text) => this.page.fail("player", text);
    this.device = device;
    if (sample) await this.ear.useSample(sample, SAMPLE_ROUNDS, () => this.page.stop("sample_over"));
    else await this.listenTo(device);
    if (this.closed) return;
    this.player = kind === FramePlayer
      ? new FramePlayer(this.page.canvas, new SoundQueue(this.audio), problem)
      : new SegmentPlayer(this.page.video, problem);
    const address = new URL("live/socket", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = "";
    this.wire = new Wire(address, { ...hello, player: kind.name }, {
      words: (message) => this.obey(message),
      media: (message) => this.player.take(message),
      state: (state) => this.page.state(state),
    });
    this.timers = [setInterval(() => this.report(), REPORT_MS), setInterval(() => this.show(), SHOW_MS)];
    this.stayAwake();
  }

  /** The device that was heard before stays if this one is refused. */
  async listenTo(device) {
    await this.ear.useMicrophone(device, () => this.page.fail("microphone_gone"));
    this.device = device;
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
    if (reason === "interrupt") return;
    if (reason === "resume") this.page.notice({ code: "resumed" });
    else this.page.say(this.ear.begin ? "sample" : "talking");
  }

  measure(message) {
    this.dropped = message.pictures_dropped;
    this.wordsLostS = message.words_lost_s;
    this.page.meter.stages(message);
    if (this.ear.begin) this.ear.begin();
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
    const first = Math.floor(sample / PIECE) * PIECE;
    const at = this.pieceAt.get(first);
    return at === undefined ? null : this.audio.currentTime - at - (sample - first - PIECE) / MIC_RATE;
  }

  show() {
    const { meter } = this.page;
    this.lookedAt = performance.now();
    meter.note("network", this.wire.roundTripS);
    meter.note("buffer", this.player.marginS);
    meter.delay(this.trueDelay());
    this.page.root.classList.toggle("ft-live-painted", this.player.figures.painted > 0);
    const { late } = this.player.figures;
    meter.show({ late, dropped: this.dropped, words: this.wordsLostS.toFixed(1), reconnects: this.wire.reconnects });
  }

  /** The page is seen again. If it slept (a phone that was locked), what was said meanwhile is old: begin from now. */
  async wake() {
    if (document.hidden || !this.wire) return;
    const slept = performance.now() - this.lookedAt > ASLEEP_MS || this.audio.state !== "running";
    await this.audio.resume();
    this.stayAwake();
    if (slept) this.wire.again();
  }

  /** A phone's screen stays on while one talks. */
  stayAwake() {
    if (!navigator.wakeLock) return;
    navigator.wakeLock.request("screen").then((lock) => {
      if (this.closed) lock.release();
      this.lock = lock;
    }, () => {});
  }

  mute(muted) {
    this.ear.mute(muted);
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.onShow);
    (this.timers || []).forEach(clearInterval);
    if (this.wire) this.wire.close();
    if (this.lock) this.lock.release();
    this.ear.close();
    if (this.player) this.player.close();
  }
}
