// Players of the compare tab: one clock for all, and what differs between two. `element` is the tab's gr.HTML.
const LATE_S = 0.03;
const JUMP_S = 0.25;
const CATCH_UP = 4;
const SAME_S = 0.001;
let playing = false;
let against = 1;

const videos = () => [...element.querySelectorAll("video")];
const seek = () => element.querySelector("[data-seek]");

function follow() {
  if (!element.isConnected) return;
  const all = element.offsetParent ? videos() : [];
  const [leader] = all;
  if (leader) {
    for (const video of all.slice(1)) {
      const late = leader.currentTime - video.currentTime;
      if (Math.abs(late) > JUMP_S) video.currentTime = leader.currentTime;
      video.playbackRate = playing && Math.abs(late) > LATE_S ? 1 + Math.max(-0.2, Math.min(0.2, CATCH_UP * late)) : 1;
    }
    const slider = seek();
    if (slider && leader.duration && document.activeElement !== slider) slider.value = leader.currentTime / leader.duration;
    if (leader.ended && playing) setPlaying(false);
    drawDifference(leader, all[against] ?? all[1]);
  } else if (playing) {
    setPlaying(false);
  }
  requestAnimationFrame(follow);
}

// What a player shows, and its place in the film; a player's clock is not always that of its picture.
function shown(video) {
  if (!window.VideoFrame) return { picture: video, atS: video.currentTime, letGo() {} };
  const picture = new VideoFrame(video);
  return { picture, atS: picture.timestamp / 1e6, letGo: () => picture.close() };
}

// Players are never quite in step, and two neighbours of one film differ by more than two films do: only pictures of
// the same place are held against each other, and until there are two the last difference stays.
function drawDifference(leader, other) {
  const canvas = element.querySelector("canvas");
  if (!canvas || !other || leader.readyState < 2 || other.readyState < 2) return;
  const [left, right] = [shown(leader), shown(other)];
  if (Math.abs(left.atS - right.atS) < SAME_S) {
    if (canvas.width !== leader.videoWidth || canvas.height !== leader.videoHeight) {
      [canvas.width, canvas.height] = [leader.videoWidth, leader.videoHeight];
    }
    const paint = canvas.getContext("2d");
    paint.globalCompositeOperation = "source-over";
    paint.drawImage(left.picture, 0, 0, canvas.width, canvas.height);
    paint.globalCompositeOperation = "difference";
    paint.drawImage(right.picture, 0, 0, canvas.width, canvas.height);
  }
  left.letGo();
  right.letGo();
}

function setPlaying(on) {
  playing = on;
  element.querySelector("[data-play]")?.setAttribute("aria-pressed", String(on));
  const all = videos();
  if (on && all[0]?.ended) all.forEach((video) => (video.currentTime = 0));
  for (const video of all) on ? video.play().catch(() => {}) : video.pause();
  if (!on) for (const video of all.slice(1)) video.currentTime = all[0].currentTime;
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
  if (event.target !== seek()) return;
  for (const video of videos()) if (video.duration) video.currentTime = event.target.value * video.duration;
});
watch("value", () => {
  playing = false;
  against = 1;
  if (element.querySelector("[data-start]")) setPlaying(true);
});
follow();
