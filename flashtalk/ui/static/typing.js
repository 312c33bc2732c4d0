// Whether the typed text speaks or the chosen voice: whichever the visitor did last. `element` says which, and how long
// the text is. ui/tabs/upload.py asks when a film is ordered, and tells what happens to the voice.
const line = element.querySelector(".ft-letters");
const most = Number(line.dataset.most);
const GIVEN = /[/\\](assets[/\\]speech[/\\][^/\\]+|[0-9a-f]{32}[/\\]speech\.wav)$/; // a sample; what was typed, spoken
let text = "", voiceLast = false;

function choose(voice) {
  voiceLast = voice;
  const letters = [...text.trim().replace(/\s+/g, " ")].length;
  for (const figure of line.querySelectorAll("b")) figure.textContent = letters.toLocaleString(document.documentElement.lang);
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
  // What the server gives comes after the press for it, maybe after the next one: only the press counts.
  changed: (voice) => GIVEN.test(voice?.path) || choose(Boolean(voice)),
};
