// Plays a film that is still being made. When it falls behind, it pauses once until enough is there again, instead of
// stuttering from chunk to chunk. `element` is the status line, which says with each chunk how much that is.
const BEGUN_S = 0.1;
const stage = () => document.getElementById("ft-video");
let waits = false;
let timer = 0;

const film = () => stage()?.querySelector("video");
const state = () => element.querySelector(".ft-status")?.dataset ?? {};
const missing = () => Number(state().leadS ?? 0) - (Number(state().madeS ?? 0) - film().currentTime);

function show(on) {
  waits = on;
  stage()?.classList.toggle("ft-waits", on);
  const words = element.querySelector(".ft-status p");
  if (on && words && state().waitWords) words.textContent = state().waitWords;
}

// Safari plays sound only soon after a press. A film that was longer in coming stands, and asks for another one.
const ask = (on) => stage()?.classList.toggle("ft-asks", on);

function goOn() {
  show(false);
  film()?.play().catch(({ name }) => name === "NotAllowedError" && ask(true));
}

// What is missing now will not be missing any more after so much time, if chunks come as they did.
function goOnWhenThere() {
  clearTimeout(timer);
  if (!waits || !film()) return;
  show(true);
  timer = setTimeout(goOn, state().madeS ? Math.max(0, missing()) * 1000 : 0);  // once it ended no more is told
}

function fellBehind() {
  const video = film();
  if (video.paused || video.currentTime < BEGUN_S || !state().madeS || missing() <= 0) return;
  waits = true;
  video.pause();
  goOnWhenThere();
}

// The server lets go of a film's pieces after a while; the finished film is there as one file much longer.
const LOST_MS = 2000;
let lost = 0;

function takeWhole() {
  const video = film(), whole = document.querySelector("#ft-saves a")?.href;
  if (!video || !whole || video.paused || video.readyState > video.HAVE_CURRENT_DATA || video.src === whole) return;
  const atS = video.currentTime;
  video.src = whole;
  video.currentTime = atS;
  video.play().catch(() => {});
}

function doubtPieces() {
  clearTimeout(lost);
  lost = setTimeout(takeWhole, LOST_MS);
}

// Media events do not bubble, but they can be caught on their way down.
const onFilm = (name, act) => document.addEventListener(name, (event) => event.target === film() && act(), true);
onFilm("waiting", fellBehind);
onFilm("waiting", doubtPieces);
onFilm("pause", () => waits || film().currentTime > BEGUN_S || ask(true));
for (const name of ["play", "emptied"]) onFilm(name, () => (clearTimeout(timer), show(false), ask(false)));
watch("value", goOnWhenThere);

// A film that was asked for comes into view once the hand rests, and stops moving when it presses: nothing may slide
// away under a press, or under the second one of two.
const REST_MS = 500;
let wanted = false;
let rest = 0;

function showStage() {
  wanted = false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  stage()?.scrollIntoView({ behavior: calm ? "instant" : "smooth", block: "nearest" });
}

function followHand(event) {
  clearTimeout(rest);
  if (event.type === "pointerdown") scrollTo({ top: scrollY, behavior: "instant" });
  else if (wanted && !event.buttons) rest = setTimeout(showStage, REST_MS);
}

document.addEventListener("click", (event) => {
  wanted ||= Boolean(event.target.closest("#ft-make, .ft-card"));
  followHand(event);
}, true);
for (const name of ["pointerdown", "pointermove", "pointerup"]) document.addEventListener(name, followHand, true);
// Whoever moves the page looks for something else.
for (const name of ["wheel", "pointercancel"]) {
  document.addEventListener(name, () => (clearTimeout(rest), (wanted = false)), { capture: true, passive: true });
}
