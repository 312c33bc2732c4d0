// A film whose tab was left stops, and none begins there; a conversation and a picture in a picture go on.
// Media events do not bubble, but they can be caught on their way down; a film that plays says so several times a second.
function hush({ target: film }) {
  const isSeen = film.getClientRects().length || film === document.pictureInPictureElement || film.closest(".ft-live");
  if (!film.paused && !isSeen) film.pause();
}
for (const kind of ["play", "timeupdate"]) document.addEventListener(kind, hush, true);
