// What was typed and not spoken yet, and how long it is. `element` tells the length; called by events of ui/tabs/upload.py.
const line = element.querySelector(".ft-letters");
const most = Number(line.dataset.most);
const placeOf = (voice) => voice?.path ?? "";
let typed = { text: "", over: "" };

window.flashtalkTyped = {
  note(text, voice) {
    typed = { text, over: placeOf(voice) };
    const letters = [...text.trim().replace(/\s+/g, " ")].length;
    for (const figure of line.querySelectorAll("b")) figure.textContent = letters.toLocaleString(document.documentElement.lang);
    if (letters) line.dataset.state = letters > most ? "long" : "fits";
    else delete line.dataset.state;
  },
  // Whoever has chosen another voice since, wants that one.
  pending: (voice) => (typed.over === placeOf(voice) ? typed.text : ""),
};
