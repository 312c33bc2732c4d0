// What the page shows of itself: true delay by stage, buffer, dropped pictures, the microphone's level.

const STAGES = ["listen", "wait", "compute", "encode", "network", "buffer"];
const SMOOTH = 0.5;

export class Meter {
  constructor(root) {
    this.total = root.querySelector(".ft-live-total");
    this.rows = Object.fromEntries(STAGES.map((name) => [name, root.querySelector(`[data-stage="${name}"]`)]));
    this.level = root.querySelector(".ft-live-level > span");
    this.counts = root.querySelectorAll("[data-count]");
    this.seconds = {};
    this.trueDelayS = null;
  }

  /** From the server, for each chunk. */
  stages(message) {
    for (const name of STAGES) {
      const value = message[`${name}_s`];
      if (value !== undefined) this.note(name, value);
    }
  }

  note(name, seconds) {
    const before = this.seconds[name];
    const isSteady = before === undefined || name === "listen";
    this.seconds[name] = isSteady ? seconds : before + SMOOTH * (seconds - before);
  }

  /** From mouth to picture, measured: a chunk is heard now whose sound was captured `seconds` ago; null: silence. */
  delay(seconds) {
    if (seconds !== null) this.trueDelayS = seconds;
  }

  loud(peak) {
    this.level.style.transform = `scaleX(${Math.min(1, Math.sqrt(peak)).toFixed(3)})`;
  }

  show(counts) {
    const sum = STAGES.reduce((total, name) => total + (this.seconds[name] || 0), 0);
    const longest = Math.max(0.5, ...STAGES.map((name) => this.seconds[name] || 0));
    for (const name of STAGES) {
      const seconds = this.seconds[name] || 0;
      this.rows[name].querySelector("b").textContent = words(seconds);
      this.rows[name].querySelector("i").style.transform = `scaleX(${(seconds / longest).toFixed(3)})`;
    }
    this.total.textContent = this.trueDelayS === null ? (sum ? words(sum) : "–") : words(this.trueDelayS);
    for (const element of this.counts) element.textContent = String(counts[element.dataset.count]);
  }
}

function words(seconds) {
  return seconds < 0.995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}
