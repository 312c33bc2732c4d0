// Runs before Gradio's own script: the visitor's language and light or dark, so that nothing flashes or jumps. Then
// the page's frame (ui/frame.py): switches, consent, what may be a voice.
(() => {
  const QUIET_MS = 120, LONGEST_MS = 8000;
  const OWN = ".ft-drop, #ft-long-face, #ft-long-voice, #ft-live-upload, input:has(+ .ft-project)";
  const RECORD = ".ft-drop-voice .record-button";
  const PARTS = ["#ft-footer", "#ft-make", "#ft-video", "#ft-status", "#ft-face button", "#ft-voice button", ".ft-settings"];
  const NAMED = ["aria-label", "title", "alt"];
  const TABS = "#ft-tabs > .tab-wrapper [role=tab]";
  const root = document.documentElement;

  // A browser that keeps nothing for sites refuses the very question; then it is kept until the page goes.
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      window[name].setItem("flashtalk", "");
      window[name].removeItem("flashtalk");
    } catch {
      const kept = new Map();
      const getItem = (key) => kept.get(key) ?? null, setItem = (key, value) => kept.set(key, String(value));
      Object.defineProperty(window, name, { value: { getItem, setItem, removeItem: (key) => kept.delete(key) } });
    }
  }

  const wanted = new URLSearchParams(location.search).get("lang");
  const spoken = (wanted || localStorage.getItem("flashtalk_language") || navigator.language || "en").toLowerCase();
  const language = spoken.startsWith("zh") ? "zh" : "en";
  const forGradio = language === "zh" ? "zh-CN" : "en";
  Object.defineProperty(navigator, "language", { get: () => forGradio });
  Object.defineProperty(navigator, "languages", { get: () => [forGradio] });
  root.lang = language;
  // Embedded in another site's page, only such a cookie arrives, and only over https.
  const sites = location.protocol === "https:" ? "SameSite=None; Secure; Partitioned" : "SameSite=Lax";
  try {
    document.cookie = `flashtalk_language=${language}; path=${location.pathname}; max-age=31536000; ${sites}`;
  } catch {
    // A frame without an origin of its own keeps no cookies.
  }
  if (wanted) localStorage.setItem("flashtalk_language", language);

  const dark = () => {
    const shade = new URLSearchParams(location.search).get("__theme") || localStorage.getItem("flashtalk_shade");
    return shade ? shade === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const paint = () => {
    root.style.colorScheme = dark() ? "dark" : "light";
    document.body?.classList.toggle("dark", dark());
  };
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  document.addEventListener("DOMContentLoaded", () => {
    paint();
    // Gradio sets its own idea of the shade and the language once while it starts.
    new MutationObserver(() => document.body.classList.contains("dark") !== dark() && paint())
      .observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new MutationObserver(() => root.lang !== language && (root.lang = language))
      .observe(root, { attributes: true, attributeFilter: ["lang"] });
  });

  // The page stands when its parts are there and nothing was added for a moment; in any case after a while.
  document.addEventListener("DOMContentLoaded", () => {
    let quiet, stands;
    const stand = () => {
      if (stands) return;
      stands = true;
      watch.disconnect();
      document.querySelectorAll(TABS)[sessionStorage.getItem("flashtalk_tab")]?.click();
      document.fonts.ready.then(() => root.setAttribute("data-stands", ""));
    };
    const watch = new MutationObserver(() => {
      clearTimeout(quiet);
      const there = (part) => document.querySelector(part);
      if (PARTS.every(there) || there("input[type=password]")) quiet = setTimeout(stand, QUIET_MS);
    });
    watch.observe(document.body, { childList: true, subtree: true });
    setTimeout(stand, LONGEST_MS);
  });

  // What was done here would be lost when the page loads anew. A reload comes back to the tab.
  let touched = false;
  const touch = ({ type, target }) => {
    if (!(target instanceof Element)) return;
    const tab = type === "click" && target.closest(TABS);
    if (tab) sessionStorage.setItem("flashtalk_tab", [...document.querySelectorAll(TABS)].indexOf(tab));
    const part = type === "click" ? target.closest("button:not(.label-wrap)") : target;
    touched ||= Boolean(part?.closest("#ft-tabs > :not(.tab-wrapper)"));
  };
  for (const kind of ["click", "input", "change", "drop"]) document.addEventListener(kind, touch, { capture: true });

  const answers = new WeakMap();
  const ask = async (dialog) => {
    if (!dialog.open) await answers.get(dialog);  // browsers tell of an answer a moment later
    dialog.returnValue = "no";
    if (!dialog.open) dialog.showModal();
    const answer = new Promise((done) => {
      dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
    });
    answers.set(dialog, answer);
    return answer;
  };
  const setLanguage = async (next, dialog) => {
    if (touched && !(await ask(dialog))) return;
    localStorage.setItem("flashtalk_language", next);
    location.assign(`${location.pathname}?lang=${next}`);  // also for a browser that keeps nothing
  };
  const flipShade = () => {
    localStorage.setItem("flashtalk_shade", document.body.classList.contains("dark") ? "light" : "dark");
    const clean = new URL(location.href);
    clean.searchParams.delete("__theme");
    history.replaceState(null, "", clean);
    paint();
  };

  const give = (input, files) => {
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // The sound of a video is a voice, too; Gradio's chooser takes only what is called a sound.
  const takeVideos = () => {
    const isVideo = (file) => file.type.startsWith("video/");
    const hold = (event) => {
      const field = event.target instanceof Element && event.target.closest(".ft-drop-voice");
      const input = field && field.querySelector("input[type=file]");
      if (!input) return;
      if (event.type === "click") input.accept = "audio/*,video/*";
      const files = event.type === "change" ? [...input.files] : [...(event.dataTransfer?.files ?? [])];
      if (!files.some(isVideo)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const sounds = new DataTransfer();
      for (const file of files) sounds.items.add(isVideo(file) ? new File([file], file.name, { type: "audio/mp4" }) : file);
      give(input, sounds.files);
    };
    for (const kind of ["click", "drop", "change"]) document.addEventListener(kind, hold, { capture: true });
  };

  // Files and pictures of the visitor's own wait until it was said, once in this browser, that those shown agreed.
  const agreed = () => localStorage.getItem("flashtalk_consent") !== null;
  const agree = async (dialog) => {
    if (await ask(dialog)) localStorage.setItem("flashtalk_consent", new Date().toISOString());
    return agreed();
  };
  const askFirst = (dialog) => {
    let isVoice = false;
    document.addEventListener("click", ({ target }) => { isVoice = Boolean(target.closest?.(".ft-drop-voice")); }, { capture: true });
    const take = async (part, files) => {
      if (!(await agree(dialog))) return;
      files ? give(part, files) : part.click();
    };
    const hold = (event) => {
      const field = event.target instanceof Element && event.target.closest(OWN);
      const record = event.type === "click" && field && event.target.closest(`${RECORD}, ${camera()}`);
      const input = field && (field.matches("input") ? field : field.querySelector("input[type=file]"));
      if (agreed() || !(record || input) || (event.type === "click" && !record && event.target !== input)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      take(record || input, event.dataTransfer?.files);
    };
    for (const kind of ["click", "drop"]) document.addEventListener(kind, hold, { capture: true });
    const asked = (owner, name, asks, lost = () => {}) => {
      const original = owner?.[name]?.bind(owner);
      if (original) owner[name] = async (...given) => {
        if (!asks(...given)) return original(...given);
        if (!agreed() && !(await agree(dialog))) throw new DOMException("not agreed", "NotAllowedError");
        return original(...given).catch((error) => {
          lost(error);
          throw error;
        });
      };
    };
    asked(navigator.mediaDevices, "getUserMedia", (wish) => Boolean(wish?.video), sayOnCamera);
    // Not the microphone of a talk, of which nothing is kept.
    asked(navigator.mediaDevices, "getUserMedia", (wish) => !wish?.video && isVoice);
    if (!navigator.mediaDevices) document.addEventListener("click", () => setTimeout(sayOnCamera, 0, { name: "InsecureContext" }));
    asked(navigator.clipboard, "read", () => true);
  };

  const camera = () => `[title="${window.flashtalkPage.told("grant webcam access")}"] button`;

  // Gradio says nothing when there is no camera: its button, still there, does.
  const sayOnCamera = ({ name }) => {
    const { told } = window.flashtalkPage;
    for (const button of document.querySelectorAll(camera())) {
      const texts = document.createTreeWalker(button, NodeFilter.SHOW_TEXT), shown = button.checkVisibility();
      while (texts.nextNode()) if (shown && texts.currentNode.data.trim()) texts.currentNode.data = told(`camera ${name}`);
    }
  };

  // Gradio names its small buttons, and tells of errors, in English and for programmers; these are our words for them.
  const nameAll = (element) => {
    const known = Object.entries(JSON.parse(element.querySelector("[data-names]").dataset.names)).map(([theirs, pair]) => [
      new RegExp(`^${theirs.replace("{}", "(.+)")}$`), pair[language === "zh" ? 1 : 0],
    ]);
    const ours = (name) => {
      const found = name ? known.find(([pattern, words]) => pattern.test(name) && words !== name) : null;
      return found ? found[1].replace("{}", () => name.match(found[0])[1]) : null;
    };
    const rename = (node, attribute) => {
      const words = ours(node.getAttribute(attribute));
      if (words !== null) node.setAttribute(attribute, words);
    };
    // Of a refused upload Gradio shows the whole answer.
    const inside = (words) => {
      const answer = /^HTTP \d+: (.*)/s.exec(words);
      return answer ? /"error":\s*"([^"]+)"/.exec(answer[1])?.[1] ?? "Upload failed" : words;
    };
    const told = (words) => ours(inside(words)) ?? inside(words);
    const retell = (notice) => {
      const texts = document.createTreeWalker(notice, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) texts.currentNode.data = told(texts.currentNode.data.trim());
    };
    const look = (node) => {
      for (const button of [node, ...node.querySelectorAll("button")]) if (button.closest(`:is(${OWN}) button`)) retell(button);
      for (const attribute of NAMED) {
        rename(node, attribute);
        for (const inner of node.querySelectorAll(`[${attribute}]`)) rename(inner, attribute);
      }
    };
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes, attributeName } of changes) {
        if (type === "attributes") rename(target, attributeName);
        else for (const node of addedNodes) if (node instanceof Element) look(node);
      }
      document.querySelectorAll(".toast-body").forEach(retell);
    }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: NAMED });
    look(document.body);
    window.flashtalkPage.told = told;
  };

  window.flashtalkPage = {
    start(element) {
      for (const button of element.querySelectorAll("[data-language]")) {
        button.setAttribute("aria-pressed", String(button.dataset.language === language));
        button.addEventListener("click", () => setLanguage(button.dataset.language, element.querySelector(".ft-leave")));
      }
      element.querySelector("[data-shade]").addEventListener("click", flipShade);
      askFirst(element.querySelector(".ft-consent"));
      takeVideos();
      nameAll(element);
    },
  };
})();
