// Whether the typed text speaks or the chosen voice: whichever the visitor did last. `element` says which, and how long
// the text is. ui/tabs/upload.py asks when a film is ordered, and tells what happens to the voice.
const line = element.querySelector(".ft-letters");
const CHINESE = /[\u4e00-\u9fff]/; // as media/speak.py tells languages apart
let text = "", voiceLast = false, acts = 0;

function choose(voice) {
  voiceLast = voice;
  acts++;
  const letters = [...text.trim().replace(/\s+/g, " ")].length;
  const most = Number(CHINESE.test(text) ? line.dataset.mostZh : line.dataset.mostEn);
  for (const [part, figure] of Object.entries({ b: letters, data: most })) {
    for (const place of line.querySelectorAll(part)) place.textContent = figure.toLocaleString(document.documentElement.lang);
  }
  if (letters) line.dataset.state = voiceLast ? "voice" : letters > most ? "long" : "fits";
  else delete line.dataset.state;
}

document.addEventListener("input", ({ target }) => {
  if (!target.matches(".ft-type textarea")) return;
  text = target.value;
  choose(false);
}, true);

// A voice that is chosen once more is no change of it.
document.addEventListener("click", ({ target }) => {
  if (target.closest(".ft-card, .ft-step:has(#ft-voice) .ft-chip")) choose(true);
  else if (target.closest("#ft-speak")) choose(false);
}, true);

window.flashtalkTyped = {
  pending: () => (voiceLast ? "" : text),
  choose,
  // A voice of the visitor's is on its way (coming.js). Gives what is to be done if it is lost.
  comes: () => {
    const former = voiceLast;
    choose(true);
    const act = acts;
    return () => act === acts && choose(former);
  },
  // A voice comes after the press or the file for it, maybe after the next one: only these count.
  changed: (voice) => voice || choose(false),
};
