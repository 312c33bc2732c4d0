// The plain mode's microphone is Gradio's. Asked before its encoder has come it fails unseen and hears nothing for as
// long as the visitor talks: the press waits for the encoder.

const BUTTON = "#ft-live-plain button.record-button";
/** Where Gradio's page writes down what it loads for its microphone. */
const MODULES = 'link[href*="/module-"]';
const LONGEST_MS = 20_000;
const BEAT_MS = 50;

async function canRecord() {
  const addresses = [...document.querySelectorAll(MODULES)].map(({ href }) => href);
  const modules = await Promise.all(addresses.map((address) => import(address)));
  return modules.some(({ MediaRecorder }) => MediaRecorder?.isTypeSupported("audio/wav"));
}

/** True, or after LONGEST_MS false: Gradio's page then says itself what is wrong. */
async function encoderCame(sinceMs = performance.now()) {
  if (await canRecord().catch(() => false)) return true;
  if (performance.now() - sinceMs > LONGEST_MS) return false;
  await new Promise((resolve) => setTimeout(resolve, BEAT_MS));
  return encoderCame(sinceMs);
}

/** A second press takes the one that waits back; none is made on a button that has gone or is hidden meanwhile. */
export function holdEarlyPresses() {
  let isReady = false, held = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(BUTTON);
    if (!button || isReady) return;
    event.stopImmediatePropagation();
    const press = held?.button === button ? null : { button };
    held?.button.removeAttribute("aria-busy");
    held = press;
    if (!press) return;
    button.setAttribute("aria-busy", "true");
    encoderCame().then(() => {
      if (held !== press) return;
      held = null;
      button.removeAttribute("aria-busy");
      isReady = button.isConnected && button.checkVisibility();
      if (isReady) button.click();
    });
  }, true);
}
