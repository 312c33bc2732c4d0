// How the house stands, asked every few seconds, and the films whose server went away. `element` is the page's header.
const HOUSE_MS = 4000, PATIENCE_MS = 10_000;
const notice = element.querySelector(".ft-house");
let silent = new Map();

function cut(line) {
  line.classList.remove("ft-busy");
  delete line.dataset.waitWords;
  line.querySelector("p").innerHTML = notice.querySelector("[data-for=cut]").innerHTML;
  line.querySelector(".ft-figures").replaceChildren();
}

// One answer that does not come is a telephone that wakes up. Two are a film's end, if nothing came of it meanwhile.
function doubt(lines) {
  const heard = new Map([...lines].map((line) => [line, JSON.stringify(line.dataset)]));
  for (const [line, last] of heard) if (silent.get(line) === last) cut(line);
  silent = heard;
}

function show(house) {
  doubt(["lost", "locked"].includes(house.state) ? document.querySelectorAll(".ft-status.ft-busy") : []);
  for (const place of notice.querySelectorAll("[data-figure]")) place.textContent = house[place.dataset.figure] ?? "–";
  if (notice.dataset.state !== house.state) notice.dataset.state = document.documentElement.dataset.house = house.state;
}

async function look() {
  if (!document.hidden) {
    const answer = await fetch("ft/house", { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => null);
    const house = answer?.ok ? await answer.json().catch(() => null) : null;
    show(house ?? { state: { 503: "waking", 401: "locked" }[answer?.status] ?? "lost" });
  }
  setTimeout(look, HOUSE_MS);
}
look();
