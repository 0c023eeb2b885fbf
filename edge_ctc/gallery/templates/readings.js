"use strict";
/* One reader's readings of this run, kept in the browser at once; every step can be taken back.

   They belong to the run and to the images that were read, not to its calls: a run that is called again, since a file
   came late, loses none of them. */

const moment = () => new Date().toISOString().slice(0, 19) + "Z";

class Readings {
  /* `imagesOf`: the images_sha256 of a cell of this page; what was read on others, or of another run that bears the
     same name, is left where it is. */
  constructor(reader, imagesOf) {
    this.reader = reader;
    this.key = ["edge-ctc reading", run.run_id, reader];
    this.stepsKey = ["edge-ctc steps", run.calls_sha256, reader];
    this.aboutKey = ["edge-ctc reader", ...pageKey, reader];
    const kept = store.keys("localStorage", ...this.key).filter((key) => imagesOf(key.at(-2)) === key.at(-1));
    this.byCell = new Map(kept.map((key) => [key.at(-2), store.read("localStorage", ...key)]));
    /* hasSeen: this reader knows what the machine said of this run. unsaved: changed since the last file. */
    this.about = store.read("localStorage", ...this.aboutKey) ?? { hasSeen: false, unsaved: false };
    this.steps = store.read("sessionStorage", ...this.stepsKey) ?? [];
  }

  static readersKnown() {
    return store.keys("localStorage", "edge-ctc reader", ...pageKey).map((key) => key.at(-1));
  }

  /* What is said of the cell; null where nothing is, or nothing any more. */
  of(cellId) {
    const reading = this.byCell.get(cellId);
    return reading === undefined || isTakenBack(reading) ? null : reading;
  }

  get said() {
    return [...this.byCell.keys()].filter((cellId) => this.of(cellId) !== null);
  }

  grade(cell, grade, blind) {
    this.change(cell, { grade, marks: this.of(cell.id)?.marks ?? [] }, blind);
  }

  /* Put the mark on, or take it off. */
  toggle(cell, mark, blind) {
    const { grade, marks } = this.of(cell.id) ?? { grade: null, marks: [] };
    const wanted = MARKS.filter((one) => marks.includes(one) !== (one === mark));
    this.change(cell, { grade, marks: wanted }, blind);
  }

  change(cell, { grade, marks }, blind) {
    const before = this.of(cell.id) ?? { images_sha256: cell.images, grade: null, marks: [], blind };
    // The same said once more is no step that one could take back.
    if (JSON.stringify([before.grade, before.marks, before.blind]) === JSON.stringify([grade, marks, blind])) return;
    this.steps.push([cell.id, before]);
    this.put(cell.id, { ...before, grade, marks, blind });
    if (!blind) this.about.hasSeen = true;
    this.keepAbout(true);
  }

  /* The id of the cell that is as it was one step before; null where there is no step. */
  undo() {
    const step = this.steps.pop();
    if (step === undefined) return null;
    this.put(...step);
    this.keepAbout(true);
    return step[0];
  }

  /* As of now, also what is brought back: an older one of an earlier file must not come in its place. */
  put(cellId, reading) {
    this.keep(cellId, { ...reading, read_at_utc: moment() });
  }

  keep(cellId, reading) {
    this.byCell.set(cellId, reading);
    store.write("localStorage", reading, ...this.key, cellId, reading.images_sha256);
  }

  keepAbout(unsaved) {
    this.about.unsaved = unsaved;
    store.write("localStorage", this.about, ...this.aboutKey);
    store.write("sessionStorage", this.steps, ...this.stepsKey);
  }

  sawVerdicts() {
    this.about.hasSeen = true;
    this.keepAbout(this.about.unsaved);
  }

  /* Readings of a file: of each cell the later one stays, and what is here where both are of the same second. */
  takeIn(readings) {
    const counts = { added: 0, replaced: 0, kept: 0, same: 0 };
    for (const [cellId, reading] of readings) {
      const what = comparison(this.byCell.get(cellId) ?? null, reading);
      counts[what]++;
      if (what === "added" || what === "replaced") this.keep(cellId, reading);
    }
    if ([...readings.values()].some((reading) => !reading.blind)) this.about.hasSeen = true;
    this.steps = [];
    this.keepAbout(this.about.unsaved);
    return counts;
  }
}

function isTakenBack({ grade, marks }) {
  return grade === null && marks.length === 0;
}

function comparison(here, there) {
  if (here === null) return "added";
  if (Object.keys(READING_FORM).every((key) => JSON.stringify(here[key]) === JSON.stringify(there[key]))) return "same";
  return there.read_at_utc > here.read_at_utc ? "replaced" : "kept";
}
