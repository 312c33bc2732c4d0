// Players of the compare tab: one clock for all, and what differs between two. `element` is the tab's gr.HTML.
const LATE_S = 0.03;
const JUMP_S = 0.25;
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
      video.playbackRate = playing && Math.abs(late) > LATE_S ? 1 + Math.max(-0.2, Math.min(0.2, late)) : 1;
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

function drawDifference(left, right) {
  const canvas = element.querySelector("canvas");
  if (!canvas || !right || left.readyState < 2 || right.readyState < 2) return;
  if (canvas.width !== left.videoWidth || canvas.height !== left.videoHeight) {
    [canvas.width, canvas.height] = [left.videoWidth, left.videoHeight];
  }
  const paint = canvas.getContext("2d");
  paint.globalCompositeOperation = "source-over";
  paint.drawImage(left, 0, 0, canvas.width, canvas.height);
  paint.globalCompositeOperation = "difference";
  paint.drawImage(right, 0, 0, canvas.width, canvas.height);
}

function setPlaying(on) {
  playing = on;
  element.querySelector("[data-play]")?.setAttribute("aria-pressed", String(on));
  const all = videos();
  if (on && all[0]?.ended) all.forEach((video) => (video.currentTime = 0));
  for (const video of all) on ? video.play().catch(() => {}) : video.pause();
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
