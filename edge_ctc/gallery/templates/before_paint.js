"use strict";
/* Before the first paint: neither a wrong theme nor, after a reload in blind mode, a verdict may flash up. */

document.documentElement.dataset.theme = store.read("localStorage", "edge-ctc theme") ?? "";
document.documentElement.classList.toggle("blind", Boolean(store.read("sessionStorage", "edge-ctc session", run.calls_sha256)?.hidden));
