// Plays a film that is still being made. When it falls behind, it pauses once until enough is there again, instead of
// stuttering from chunk to chunk. `element` is the status line, which says with each chunk how much that is.
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

function goOn() {
  show(false);
  film()?.play().catch(() => {});
}

// What is missing now will not be missing any more after so much time, if chunks come as they did.
function goOnWhenThere() {
  clearTimeout(timer);
  if (!waits || !film()) return;
  show(true);
  timer = setTimeout(goOn, Math.max(0, missing()) * 1000);
}

function fellBehind() {
  const video = film();
  if (video.paused || video.currentTime < 0.1 || !state().madeS || missing() <= 0) return;
  waits = true;
  video.pause();
  goOnWhenThere();
}

// Media events do not bubble, but they can be caught on their way down.
const onFilm = (name, act) => document.addEventListener(name, (event) => event.target === film() && act(), true);
onFilm("waiting", fellBehind);
for (const name of ["play", "emptied"]) onFilm(name, () => (clearTimeout(timer), show(false)));
watch("value", goOnWhenThere);
