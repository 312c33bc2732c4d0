// A press for a film is held while a picture, a voice or a project of it is on its way, and made when it is there;
// Gradio's own presses take what is there. `element` holds the line that says so (ui/pickers.py), in the tab whose
// presses and files count.
const PATIENCE_MS = 60_000, SLOWEST_BYTES_PER_MS = 16; // ui/shutters.py breaks off what comes slower
const ENCODING_MS = 20_000; // of a recording, before it goes
const OPENING_MS = 600_000; // of a project, whose model may have to be started
const SETTLING_MS = 100; // Gradio takes the answer into the page
const DOUBLE_MS = 500; // the second press of a double click is none
const ELSE = ".ft-go, .ft-card, #ft-speak, .ft-project";
const REPLACED_BY = {
  face: ".ft-card, .ft-thumb, .ft-drop:not(.ft-drop-voice) .icon-button-wrapper button",
  voice: ".ft-card, .ft-chip, .ft-drop-voice .icon-button-wrapper button",
};
const line = element.querySelector(".ft-coming");
const tab = element.closest(".tabitem");
const ask = window.fetch.bind(window);
const coming = new Set(), samples = { face: null, voice: null };
let recording = null, speech = null, held = null, made = "", madeMs = 0;

const typed = () => (tab.querySelector(".ft-type") ? window.flashtalkTyped : null);
const matters = ({ kind }) => kind !== "voice" || !typed()?.pending().trim();
const waits = () => [...coming].some(matters);
/** A press for a comparison is none while another one is made. */
const isDropped = () => tab.querySelector("#ft-compare-status .ft-busy");

/** The samples that count. */
const chosen = () => Object.keys(samples).filter((kind) => samples[kind] && matters({ kind })).map((kind) => samples[kind]);

function say(state) {
  if (state) line.dataset.state = state;
  else delete line.dataset.state;
}

function release(state = "") {
  held = null;
  say(state);
}

/** isRead: it is made of the text, which speaks for itself meanwhile. */
function begin(kind, isRead = false) {
  const file = { kind, lose: kind === "face" || isRead ? null : typed()?.comes() };
  coming.add(file);
  for (const one of kind === "project" ? Object.keys(samples) : [kind]) samples[one] = null;
  if (!held) say("");
  return file;
}

function allow(file, patienceMs) {
  clearTimeout(file.timer);
  file.timer = setTimeout(() => end(file, false), patienceMs);
}

function end(file, hasArrived) {
  clearTimeout(file.timer);
  if (file === recording) recording = null;
  const wasAwaited = matters(file), button = held;
  if (!coming.delete(file)) {
    // It has taken the place of the sample that was pressed meanwhile.
    if (hasArrived && wasAwaited) samples[file.kind]?.click();
    return;
  }
  if (!hasArrived) file.lose?.();
  const replaced = hasArrived && file.kind === "project" ? chosen() : [];
  for (const sample of replaced) sample.click();
  if (!button || (hasArrived ? waits() : !wasAwaited)) return;
  release(hasArrived ? "" : "lost");
  if (replaced.length) setTimeout(() => button.click(), SETTLING_MS);
  else if (hasArrived) button.click();
}

function replace(kind, button) {
  samples[kind] = button.matches(".ft-thumb, .ft-chip") ? button : null;
  for (const file of coming) {
    if (file.kind !== kind) continue;
    coming.delete(file);
    release();
  }
}

function record() {
  coming.delete(recording);
  recording = begin("voice");
  allow(recording, ENCODING_MS);
}

/** The text is read out by the press that this is; Gradio drops one that comes before its end. */
function read() {
  coming.delete(speech);
  speech = begin("voice", true);
  allow(speech, PATIENCE_MS);
}

function drop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

/** Whether this is the second press of a double click. */
function isDouble({ timeStamp }, { id }) {
  const isOne = made === id && timeStamp - madeMs < DOUBLE_MS;
  [made, madeMs] = [id, timeStamp];
  return isOne;
}

function go(event, button) {
  const isNone = isDropped(), isHeld = waits() && !isNone;
  if (isNone || isHeld || isDouble(event, button)) drop(event);
  if (isHeld) {
    held = button;
    say("coming");
    line.scrollIntoView({ block: "nearest" });
  } else if (!isNone) {
    release();
  }
}

function press(event) {
  const button = event.target.closest("button");
  if (!button || !tab.contains(button)) return;
  if (button.matches(".ft-card") && isDouble(event, button)) return drop(event);
  if (button.id === line.dataset.go) go(event, button);
  else if (button.closest(ELSE)) release();
  else if (button.closest(".ft-drop-voice") && button.matches(".stop-button, .stop-button-paused")) record();
  if (button.matches("#ft-speak")) read();
  for (const kind of Object.keys(REPLACED_BY)) if (button.matches(REPLACED_BY[kind])) replace(kind, button);
}

/** What the files are, if they are for a film: a project is JSON. */
function kindOf(files) {
  const file = files.find((one) => one instanceof Blob);
  if (!file) return "";
  if (/json$/i.test(file.name)) return tab.querySelector(".ft-project") ? "project" : "";
  return file.type.startsWith("audio/") ? "voice" : "face";
}

async function bring(kind, what, how) {
  const file = (kind === "voice" && recording) || begin(kind);
  if (file === recording) recording = null;
  const bytes = [...how.body.values()].reduce((sum, { size }) => sum + (size ?? 0), 0);
  allow(file, PATIENCE_MS + bytes / SLOWEST_BYTES_PER_MS);
  try {
    const answer = await ask(what, how);
    await answer.clone().blob();
    if (kind === "project" && answer.ok) opens(file);
    else setTimeout(() => end(file, answer.ok), SETTLING_MS);
    return answer;
  } catch (error) {
    end(file, false);
    throw error;
  }
}

/** A project is there; only when it was read are its fields filled. */
function opens(file) {
  file.opens = true;
  allow(file, OPENING_MS);
}

// ui/tabs/upload.py tells how that went, and how a text was read out.
window.addEventListener("flashtalk:opened", ({ detail: isOpen }) => {
  const oldest = [...coming].find(({ opens }) => opens);
  if (oldest) end(oldest, isOpen);
});
window.addEventListener("flashtalk:spoken", ({ detail: isRead }) => speech && end(speech, isRead));

window.fetch = (what, how) => {
  const kind = how?.body instanceof FormData ? kindOf([...how.body.values()]) : "";
  const isOurs = kind && (tab.offsetParent || (kind === "voice" && recording));
  return isOurs ? bring(kind, what, how) : ask(what, how);
};
// Before all that a press does: the page does not even move for one that is held.
window.addEventListener("click", press, true);
// Who goes on typing is not done.
window.addEventListener("input", ({ target }) => {
  if (held && tab.contains(target) && target.matches(".ft-type textarea")) release();
}, true);
