// Players of the compare tab: one clock for all, and what differs between two. `element` is the tab's gr.HTML.
const LATE_S = 0.03;
const LEVEL_S = 0.01;
const JUMP_S = 0.25;
const AHEAD_S = 0.25;
const FAR_S = 1;
const REST_MS = 300;
const MOST_STALL_S = 0.1;
const STEER = 0.1;
const SAME_S = 0.001;
const NO_PLACE_US = 1000;
const KEYS_S = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
const newPaint = () => document.createElement("canvas").getContext("2d");
const copy = newPaint();  // WebKit takes a difference of canvases, not of films
let playing = false;
let against = 1;
let isDragged = false;

const videos = () => [...element.querySelectorAll("video")];
const seek = () => element.querySelector("[data-seek]");

function follow() {
  if (!element.isConnected) return;
  const all = element.offsetParent ? videos() : [];
  const [leader] = all;
  if (leader) {
    if (playing) for (const video of all.slice(1)) keepUp(video, leader);
    all.forEach(countRound);
    showPlace(leader);
    if (leader.ended && playing) setPlaying(false);
    drawDifference(leader, all[against] ?? all[1]);
  } else if (playing) {
    setPlaying(false);
  }
  requestAnimationFrame(follow);
}

function showPlace({ currentTime: atS, duration }) {
  const slider = seek(), words = `${atS.toFixed(1)} s`;
  if (!slider || !duration) return;
  if (!isDragged) slider.value = atS / duration;
  if (slider.getAttribute("aria-valuetext") !== words) slider.setAttribute("aria-valuetext", words);
}

function go(to) {
  for (const video of videos()) if (video.duration) video.currentTime = to(video);
}

// Who is far behind jumps ahead, who is far ahead stops, and both wait there for the first player, who may itself begin
// late; a small difference is made up for by speed. A player stands still for a moment when it begins and, in WebKit,
// whenever its speed changes, or even pauses by itself: after each change it is left alone for a while.
const courses = new WeakMap();

function keepUp(video, leader) {
  const course = courses.get(video) ?? begin(video), late = leader.currentTime - video.currentTime;
  for (const track of video.audioTracks ?? []) track.enabled = false;  // in WebKit muted sound holds up pictures
  if (video.seeking || video.ended) return;
  if (course.waits && late < 0 && late > -FAR_S) {
    video.pause();
  } else if (course.waits || video.paused) {
    begin(video);
    video.play().catch(refused);
  } else if (Math.abs(late) > JUMP_S) {
    setRate(video, 1);
    begin(video, { waits: true });
    if (late > 0 || late < -FAR_S) video.currentTime = Math.min(leader.currentTime + AHEAD_S, leader.duration || 0);
  } else if (performance.now() > course.restsUntilMs) {
    steer(video, late, course);
  }
}

function begin(video, changed = {}) {
  const restsUntilMs = performance.now() + REST_MS, { stallS = 0 } = courses.get(video) ?? {};
  const course = { stallS, restsUntilMs, waits: false, isJudged: true, ...changed };
  courses.set(video, course);
  return course;
}

/** Speed is given back before all is made up for, by what that cost the last time. */
function steer(video, late, course) {
  if (!course.isJudged) course.stallS = Math.min(Math.max(course.stallS + late, 0), MOST_STALL_S);
  course.isJudged = true;
  const faster = Math.round((video.playbackRate - 1) / STEER);
  if (faster && faster * (late + course.stallS) < LEVEL_S) setRate(video, 1);
  else if (!faster && Math.abs(late) > LATE_S) setRate(video, 1 + Math.sign(late) * STEER);
}

function setRate(video, rate) {
  if (video.playbackRate === rate) return;
  video.playbackRate = rate;
  if (rate === 1) begin(video, { isJudged: false });
}

// What a player shows, and its place in the film; a player's clock is not always that of its picture. Firefox's pictures
// say no place: it is what the player's last callback said, and true of what is drawn one round after it.
const places = new WeakMap();

function countRound(video) {
  const known = places.get(video);
  if (known) {
    known.rounds++;
    return;
  }
  const place = { atS: NaN, rounds: 0, keptS: NaN, kept: newPaint() };
  const note = (_now, { mediaTime }) => {
    Object.assign(place, { atS: mediaTime, rounds: 0 });
    video.requestVideoFrameCallback(note);
  };
  places.set(video, place);
  video.requestVideoFrameCallback?.(note);
}

function shown(video) {
  const picture = window.VideoFrame && new VideoFrame(video);
  if (picture?.timestamp > NO_PLACE_US) return { picture, atS: picture.timestamp / 1e6, letGo: () => picture.close() };
  picture?.close();
  const place = places.get(video);
  if (place.rounds && place.keptS !== place.atS) {
    draw(place.kept, video, video);
    place.keptS = place.atS;
  }
  return { picture: place.kept.canvas, atS: place.keptS, letGo() {} };
}

/** A picture of `video` in its own size. */
function draw(paint, picture, { videoWidth: width, videoHeight: height }, how = "source-over") {
  if (paint.canvas.width !== width || paint.canvas.height !== height) Object.assign(paint.canvas, { width, height });
  paint.globalCompositeOperation = how;
  paint.drawImage(picture, 0, 0, width, height);
}

// Players are never quite in step, and two neighbours of one film differ by more than two films do: only pictures of
// the same place are held against each other, and until there are two the last difference stays.
function drawDifference(leader, other) {
  const canvas = element.querySelector("canvas");
  if (!canvas || !other || leader.readyState < 2 || other.readyState < 2) return;
  const [left, right] = [shown(leader), shown(other)];
  if (Math.abs(left.atS - right.atS) < SAME_S) {
    const paint = canvas.getContext("2d");
    draw(paint, left.picture, leader);
    draw(copy, right.picture, leader);
    draw(paint, copy.canvas, leader, "difference");
  }
  left.letGo();
  right.letGo();
}

function setPlaying(on) {
  playing = on;
  element.querySelector("[data-play]")?.setAttribute("aria-pressed", String(on));
  const all = videos();
  if (on && all[0]?.ended) all.forEach((video) => (video.currentTime = 0));
  // WebKit forgets that a film is muted when it is copied out of a template.
  for (const video of all) video.muted = video.hasAttribute("muted");
  for (const video of all) {
    setRate(video, 1);
    begin(video);
  }
  for (const video of all) on ? video.play().catch(refused) : video.pause();
  if (!on) for (const video of all.slice(1)) video.currentTime = all[0].currentTime;
}

// Safari plays sound only soon after a press, and films take longer than that: they wait for the next one.
function refused({ name }) {
  if (name === "NotAllowedError" && playing) setPlaying(false);
}

function holdAgainst(index) {
  against = index;
  for (const button of element.querySelectorAll("[data-against]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.against) === index));
  }
}

element.addEventListener("click", (event) => {
  if (event.target.closest("[data-play]")) setPlaying(!playing);
  const choice = event.target.closest("[data-against]");
  if (choice) holdAgainst(Number(choice.dataset.against));
});
element.addEventListener("input", (event) => {
  if (event.target === seek()) go(({ duration }) => event.target.value * duration);
});
// The bar's own steps are for the hand that drags it: a key would move it by less than a picture.
element.addEventListener("keydown", (event) => {
  const byS = KEYS_S[event.key];
  if (event.target !== seek() || !byS || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  go(({ currentTime, duration }) => Math.min(Math.max(currentTime + byS, 0), duration));
});
element.addEventListener("pointerdown", ({ target }) => (isDragged = target === seek()));
for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => (isDragged = false));
// What is new leaves players alone that were there: they go on, and the others with them.
watch("value", () => {
  playing = Boolean(element.querySelector("[data-start]")) || videos().some(({ paused, ended }) => !paused && !ended);
  against = 1;
  if (playing) setPlaying(true);
});
follow();
