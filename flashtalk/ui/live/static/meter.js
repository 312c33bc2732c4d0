// What the page shows of itself: true delay by stage, buffer, dropped pictures, the microphone's level.

const STAGES = ["listen", "wait", "compute", "encode", "network", "buffer"];
const SMOOTH = 0.3;

export class Meter {
  constructor(root) {
    this.total = root.querySelector(".ft-live-total");
    this.rows = Object.fromEntries(STAGES.map((name) => [name, root.querySelector(`[data-stage="${name}"]`)]));
    this.level = root.querySelector(".ft-live-level > span");
    this.extra = root.querySelector(".ft-live-extra");
    this.seconds = {};
    this.trueDelayS = null;
  }

  stages(message) {
    for (const name of STAGES) {
      const value = message[`${name}_s`];
      if (value !== undefined) this.note(name, value);
    }
  }

  note(name, seconds) {
    const before = this.seconds[name];
    this.seconds[name] = before === undefined ? seconds : before + SMOOTH * (seconds - before);
  }

  /** From mouth to picture, measured: a chunk is heard now whose sound was captured `seconds` ago. */
  delay(seconds) {
    this.trueDelayS = seconds;
  }

  loud(peak) {
    this.level.style.transform = `scaleX(${Math.min(1, Math.sqrt(peak)).toFixed(3)})`;
  }

  show({ late, dropped, reconnects }) {
    const sum = STAGES.reduce((total, name) => total + (this.seconds[name] || 0), 0);
    const longest = Math.max(0.5, ...STAGES.map((name) => this.seconds[name] || 0));
    for (const name of STAGES) {
      const seconds = this.seconds[name] || 0;
      this.rows[name].querySelector("b").textContent = words(seconds);
      this.rows[name].querySelector("i").style.transform = `scaleX(${(seconds / longest).toFixed(3)})`;
    }
    this.total.textContent = this.trueDelayS === null ? (sum ? words(sum) : "–") : words(this.trueDelayS);
    for (const [name, count] of Object.entries({ late, dropped, reconnects })) {
      this.extra.querySelector(`[data-count="${name}"]`).textContent = String(count);
    }
  }
}

function words(seconds) {
  return seconds < 0.995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}
