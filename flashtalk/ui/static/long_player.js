// One player for films that grow and films that are finished; for long_video.js. hls.js is loaded when it is needed.

const HLS = new URL("ft/public/static/vendor/hls-1.7.4.light.min.js", document.baseURI);
const PLACE = "flashtalk_place";

export class Player {
  constructor(video) {
    this.video = video;
    this.shown = "";
    this.film = "";
    this.playsNext = "";  // the film that the visitor asked for just now
    this.place = ["", 0];
    video.addEventListener("timeupdate", () => this.remember());
    video.addEventListener("error", () => this.hls || this.beginAgain());  // hls.js tells of its own
  }

  /** At a press: Safari lets only a player that a press has started play by itself later. */
  allow() {
    if (!this.video.paused) return;
    this.video.play().catch(() => undefined);
    this.video.pause();
  }

  remember() {
    // Where the visitor is in the film: after a reload, and when the growing film becomes the finished one.
    if (!this.film || !this.video.readyState) return;
    this.place = [this.film, this.video.ended ? 0 : this.video.currentTime];
    localStorage.setItem(PLACE, JSON.stringify(this.place));
  }

  /** What is kept may be another tab's place: it counts where this one has none. */
  remembered(id) {
    const [film, at] = this.place[0] === id ? this.place : JSON.parse(localStorage.getItem(PLACE) ?? '["", 0]');
    return film === id ? at : 0;
  }

  async show(film) {
    // A film that is watched while it grows changes to the finished file only when it is not being played.
    const growing = !film.span_s && film.chunks > 0 && film.state !== "done" && film.state !== "cancelled";
    const wanted = film.state === "done" ? `${film.media}film.mp4` : growing ? `${film.media}index.m3u8` : "";
    const sameFilm = wanted && this.shown.startsWith(film.media);
    if (wanted === this.shown || (sameFilm && !this.video.paused && !this.video.ended)) {
      if (this.video.readyState) this.play(film);  // it was shown before the order was answered
      return;
    }
    const at = this.remembered(film.id);
    this.clear();
    this.shown = wanted;
    if (!wanted) return;
    this.film = film.id;
    if (!wanted.endsWith("m3u8")) this.video.src = wanted;
    else if (!(await this.stream(wanted, at))) return;
    if (at) this.video.currentTime = at;
    this.play(film);
  }

  /** If it was asked for. */
  play(film) {
    if (this.playsNext !== film.id) return;
    this.playsNext = "";
    this.video.play().catch(() => undefined);  // a browser may ask for one more click
  }

  /** Whether it is there: not if its script did not come, nor if another film was chosen meanwhile. */
  async stream(address, at) {
    const isLoaded = await loadScript(HLS);
    if (this.shown !== address) return false;
    if (!isLoaded) {
      this.clear();  // the next look begins again
      return false;
    }
    if (window.Hls?.isSupported()) {
      this.hls = new window.Hls({ startPosition: at, maxBufferLength: 30, backBufferLength: 60, liveSyncDurationCount: 1e6 });
      this.hls.on(window.Hls.Events.ERROR, (_, error) => error.fatal && this.recover(error));
      this.hls.loadSource(address);
      this.hls.attachMedia(this.video);
    } else {
      this.video.src = address;  // Safari on phones plays playlists itself
    }
    return true;
  }

  recover(error) {
    if (error.type === window.Hls.ErrorTypes.MEDIA_ERROR) this.hls.recoverMediaError();
    else this.beginAgain();
  }

  /** At the next look, where it was. */
  beginAgain() {
    if (!this.video.paused) this.playsNext = this.film;
    this.clear();
  }

  clear() {
    this.hls?.destroy();
    this.hls = null;
    this.shown = this.film = "";
    this.video.removeAttribute("src");
    this.video.load();
  }
}

const scripts = new Map();
/** Whether the script came; one that did not is asked for anew the next time. */
function loadScript(address) {
  if (!scripts.has(address)) {
    scripts.set(address, new Promise((done) => {
      const script = document.createElement("script");
      script.src = address;
      script.addEventListener("load", () => done(true));
      script.addEventListener("error", () => {
        scripts.delete(address);
        script.remove();
        done(false);
      });
      document.head.append(script);
    }));
  }
  return scripts.get(address);
}
