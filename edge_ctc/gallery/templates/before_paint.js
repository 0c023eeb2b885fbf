"use strict";
/* Before the first paint: neither a wrong theme nor, after a reload in blind mode, a verdict may flash up. */

document.documentElement.dataset.theme = store.read("localStorage", "edge-ctc theme") ?? "";
/* Somebody who is to read blind opens the page with #blind at the end of its address. */
const isOpenedBlind = location.hash === "#blind";
document.documentElement.classList.toggle("blind", isOpenedBlind || Boolean(store.read("sessionStorage", "edge-ctc session", ...pageKey)?.hidden));
