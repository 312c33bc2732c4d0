// Runs before Gradio's own script: the visitor's language and light or dark, so that nothing flashes or jumps.
(() => {
  const wanted = new URLSearchParams(location.search).get("lang");
  const stored = wanted || localStorage.getItem("flashtalk_language") || navigator.language || "en";
  const language = stored.toLowerCase().startsWith("zh") ? "zh" : "en";
  Object.defineProperty(navigator, "language", { get: () => language });
  Object.defineProperty(navigator, "languages", { get: () => [language] });
  document.documentElement.lang = language;
  document.cookie = `flashtalk_language=${language}; path=/; max-age=31536000; SameSite=Lax`;
  if (wanted) localStorage.setItem("flashtalk_language", language);

  const dark = () => {
    const shade = new URLSearchParams(location.search).get("__theme") || localStorage.getItem("flashtalk_shade");
    return shade ? shade === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const paint = () => document.body && document.body.classList.toggle("dark", dark());
  document.addEventListener("DOMContentLoaded", () => {
    paint();
    // Gradio sets its own idea of the shade once while it starts.
    const watch = new MutationObserver(() => document.body.classList.contains("dark") !== dark() && paint());
    watch.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });
  window.flashtalkPage = {
    setLanguage(next) {
      localStorage.setItem("flashtalk_language", next);
      location.assign(location.pathname);
    },
    flipShade() {
      localStorage.setItem("flashtalk_shade", document.body.classList.contains("dark") ? "light" : "dark");
      const clean = new URL(location.href);
      clean.searchParams.delete("__theme");
      history.replaceState(null, "", clean);
      paint();
    },
  };
})();
