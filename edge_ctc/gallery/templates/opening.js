"use strict";
/* Before the page is drawn once, a busy Chromium gives the scripts of a local file a storage that leads nowhere, for as
   long as the page is open: nothing is found there, and what is written is lost (docs/results.md has the figures). So
   the storage is first touched after that, and nothing is to be seen before: neither a wrong theme nor, after a reload in
   blind mode, a verdict may flash up. Paper, and a browser without scripts, do not wait. */

const root = document.documentElement;
/* Somebody who is to read blind opens the page with #blind at the end of its address. */
const isOpenedBlind = location.hash === "#blind";

root.classList.add("opening");
/* The second frame begins when the first was drawn. */
const drawnOnce = new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
drawnOnce.then(() => {
  root.dataset.theme = store.read("localStorage", "edge-ctc theme") ?? "";
  root.classList.toggle("blind", isOpenedBlind || Boolean(store.read("sessionStorage", "edge-ctc session", ...pageKey)?.hidden));
  root.classList.remove("opening");
});
