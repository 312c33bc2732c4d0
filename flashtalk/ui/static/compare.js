// Players of the compare tab: one clock for all, and what differs between two. `element` is the tab's gr.HTML.
const LATE_S = 0.03;
const JUMP_S = 0.25;
let playing = false;

const videos = () => [...element.querySelectorAll("video")];
const seek = () => element.querySelector("[data-seek]");

function follow() {
  const all = videos();
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
    drawDifference(all);
  }
  requestAnimationFrame(follow);
}

function drawDifference(all) {
  const canvas = element.querySelector("canvas");
  if (!canvas || all.length < 2 || all.some((video) => video.readyState < 2)) return;
  const [left, right] = [0, 1].map((index) => all[Number(canvas.dataset["ab"[index]] ?? index)] ?? all[index]);
  if (canvas.width !== left.videoWidth) [canvas.width, canvas.height] = [left.videoWidth, left.videoHeight];
  const paint = canvas.getContext("2d");
  paint.globalCompositeOperation = "source-over";
  paint.drawImage(left, 0, 0, canvas.width, canvas.height);
  paint.globalCompositeOperation = "difference";
  paint.drawImage(right, 0, 0, canvas.width, canvas.height);
}

function setPlaying(on) {
  playing = on;
  const button = element.querySelector("[data-play]");
  if (button) button.setAttribute("aria-pressed", String(on));
  const all = videos();
  if (on && all[0]?.ended) all.forEach((video) => (video.currentTime = 0));
  for (const video of all) on ? video.play().catch(() => {}) : video.pause();
}

element.addEventListener("click", (event) => {
  if (event.target.closest("[data-play]")) setPlaying(!playing);
  const sound = event.target.closest("[data-sound]");
  if (sound) videos().forEach((video, index) => (video.muted = index !== Number(sound.dataset.sound)));
});
element.addEventListener("input", (event) => {
  if (event.target !== seek()) return;
  for (const video of videos()) if (video.duration) video.currentTime = event.target.value * video.duration;
});
watch("value", () => {
  const ready = element.querySelector("[data-start]");
  playing = false;
  if (ready) setPlaying(true);
});
follow();
