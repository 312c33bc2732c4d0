// A press for a film is held while a picture or a voice is on its way, and made when it is there; Gradio's own presses
// take what is there. `element` holds the line that says so (ui/pickers.py), in the tab whose presses and files count.
const PATIENCE_MS = 60_000, SLOWEST_BYTES_PER_MS = 16; // ui/shutters.py breaks off what comes slower
const ENCODING_MS = 20_000; // of a recording, before it goes
const SETTLING_MS = 100; // Gradio takes the answer into the page
const line = element.querySelector(".ft-coming");
const tab = element.closest(".tabitem");
const ask = window.fetch.bind(window);
const coming = new Set();
let recording = null, held = null;

function say(state) {
  if (state) line.dataset.state = state;
  else delete line.dataset.state;
}

function begin(patienceMs) {
  const file = {};
  file.timer = setTimeout(() => end(file, false), patienceMs);
  coming.add(file);
  if (!held) say("");
  return file;
}

function end(file, hasArrived) {
  clearTimeout(file?.timer);
  if (!coming.delete(file) || !held || (hasArrived && coming.size)) return;
  const button = held;
  held = null;
  say(hasArrived ? "" : "lost");
  if (hasArrived) button.click();
}

function press(event) {
  const button = event.target.closest("button");
  if (!button || !tab.contains(button)) return;
  if (button.id === line.dataset.go && coming.size) {
    event.preventDefault();
    event.stopImmediatePropagation();
    held = button;
    say("coming");
    line.scrollIntoView({ block: "nearest" });
  } else if (button.closest(".ft-go, .ft-card")) {
    held = null;
    say("");
  } else if (button.closest(".ft-drop-voice") && button.matches(".stop-button, .stop-button-paused")) {
    const last = recording;
    recording = begin(ENCODING_MS);
    end(last, true);
  }
}

async function bring(what, how) {
  const files = [...how.body.values()];
  const file = begin(PATIENCE_MS + files.reduce((sum, { size }) => sum + size, 0) / SLOWEST_BYTES_PER_MS);
  end(recording, true);
  try {
    const answer = await ask(what, how);
    await answer.clone().blob();
    setTimeout(() => end(file, answer.ok), SETTLING_MS);
    return answer;
  } catch (error) {
    end(file, false);
    throw error;
  }
}

window.fetch = (what, how) => {
  const isOurs = how?.body instanceof FormData && (tab.offsetParent || coming.has(recording));
  return isOurs ? bring(what, how) : ask(what, how);
};
// Before all that a press does: the page does not even move for one that is held.
window.addEventListener("click", press, true);
