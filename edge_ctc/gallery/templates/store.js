"use strict";
/* What this browser keeps between reloads. Each reader's reading of each cell is an entry of its own, so that two
   tabs never overwrite each other's cells. Keys are JSON arrays: no id or name can be taken for another's. */

const run = JSON.parse(document.getElementById("run").textContent);

/* What a browser keeps of the page itself. Runs of one name lie in different folders, and all local files share one
   store; a run that is called again has its page where it was. */
const pageKey = [run.run_id, location.pathname];

const store = {
  failure: "",
  onFailure() {},

  read(area, ...key) {
    return this.attempt(() => JSON.parse(window[area].getItem(JSON.stringify(key))));
  },

  write(area, value, ...key) {
    this.attempt(() => window[area].setItem(JSON.stringify(key), JSON.stringify(value)));
  },

  /* The keys in the area that begin with these parts; other pages may have put anything there. */
  keys(area, ...start) {
    const beginsSo = (text) => text.startsWith(JSON.stringify(start).slice(0, -1) + ",");
    return this.attempt(() => Object.keys(window[area]).filter(beginsSo).map((text) => JSON.parse(text))) ?? [];
  },

  attempt(act) {
    try {
      return act();
    } catch (error) {
      this.failure = `${error.name}: ${error.message}`;
      this.onFailure();
      return null;
    }
  },
};
