// What the long-video tab says of a film, in the page's language; for long_video.js and long_list.js.

export const LIVE = ["waiting", "rendering"];

export class Words {
  /** `words`: name -> [English, Chinese]; `chinese`: an error's code -> its sentence. */
  constructor(words, chinese) {
    this.words = words;
    this.chinese = chinese;
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

  name(film) {
    return film.title || when(film.created_s);
  }

  /** Without what runs while it is made. */
  state(film) {
    const parts = [this.say(seeksSeat(film) ? "seat" : film.state, { place: film.place ?? 1 })];
    if (film.span_s) parts.push(this.say("part", { from: film.span_s[0].toFixed(1), to: film.span_s[1].toFixed(1) }));
    if (!LIVE.includes(film.state)) parts.push(film.state === "done" ? clock(film.seconds) : made(film));
    if (film.reason) parts.push(this.why(film.reason_code, film.reason));
    if (!LIVE.includes(film.state)) parts.push(this.say("kept", { size: bytes(film.bytes), day: day(film.kept_until_s) }));
    return parts.join(" · ");
  }

  /** What runs: nothing of a film that rests. */
  figures(film) {
    if (!LIVE.includes(film.state)) return "";
    const parts = [made(film)], isMade = film.state === "rendering" && !seeksSeat(film);
    if (isMade && film.made_fps) parts.push(this.say("fps", { fps: film.made_fps }));
    if (isMade && film.left_s !== null) parts.push(this.say("left", { time: clock(film.left_s) }));
    return parts.join(" · ");
  }
}

/** Whether it waits in the house's line, with people who talk. */
function seeksSeat(film) {
  return film.state === "rendering" && Boolean(film.place);
}

export function clock(seconds) {
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  const minutes = `${Math.floor(whole / 60) % 60}:${two(whole % 60)}`;
  return whole < 3600 ? minutes : `${Math.floor(whole / 3600)}:${minutes.padStart(5, "0")}`;
}

function made(film) {
  return `${clock(film.frames / film.frames_a_second)} / ${clock(film.goal_frames / film.frames_a_second)}`;
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
