// A picture that the visitor uploaded becomes one more face to choose. Its name arrives through a Gradio element.

export function watchOwnFace(root, onChange) {
  const source = document.querySelector("#ft-live-own");
  const label = root.querySelector(".ft-live-own");
  if (!source || !label) return;
  const input = label.querySelector("input");
  const take = () => {
    const brought = source.querySelector("[data-portrait]");
    if (!brought || brought.dataset.portrait === input.value) return;
    input.value = brought.dataset.portrait;
    label.querySelector("img").src = brought.dataset.picture;
    label.hidden = false;
    input.checked = true;
    onChange();
  };
  new MutationObserver(take).observe(source, { childList: true, subtree: true, attributes: true });
  take();
}
