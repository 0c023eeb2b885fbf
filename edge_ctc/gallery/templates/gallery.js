"use strict";
/* The review: what each key does. */

let readings = null;
let otherReaders = [];
let current = null;
/* Blind mode: null, or the shuffled articles and whether what is read now counts as blind. */
let blind = null;
/* The cell with whose grade a group was all read, until another is current. */
let lastRead = null;

const sessionKey = ["edge-ctc session", ...pageKey];
const shownKey = ["edge-ctc verdicts were shown", ...pageKey];
const imagesOf = (cellId) => placeOf.get(cellId)?.dataset.images;
const isRead = (place) => (readings?.of(cellOf(place).id)?.grade ?? null) !== null;
/* The cells that are to be read, and all that can be: in blind mode nothing may tell which are the candidates. */
const toRead = () => blind?.order ?? candidates;
const reachable = () => blind?.order ?? [...articles, ...thumbnails];

function keepSession() {
  const counts = blind?.counts ?? false;
  store.write("sessionStorage", { reader: readings.reader, hidden: blind !== null, counts }, ...sessionKey);
}

function othersOf(cellId) {
  if (blind !== null || readings === null || readings.of(cellId) === null) return [];
  return otherReaders.map((other) => [other.reader, other.of(cellId)]).filter(([, reading]) => reading !== null);
}

function showAll() {
  for (const place of placeOf.values()) {
    const { id } = cellOf(place);
    showReading(place, readings?.of(id) ?? null, othersOf(id));
  }
  showState();
}

function showState() {
  const cells = toRead();
  const read = cells.filter(isRead).length;
  showProgress(read, cells.length, [...placeOf.values()].filter(isRead).length - read);
  showWho(readings);
  showPressed(current === null ? null : (readings?.of(cellOf(current).id) ?? null));
}

function showCell(place) {
  const { id } = cellOf(place);
  showReading(place, readings.of(id), othersOf(id));
  showState();
}

/* `block`: where it comes to stand on the screen, as scrollIntoView has it. */
function makeCurrent(place, block = "center") {
  const before = current;
  current = place;
  lastRead = null;
  showCurrent(before, place, block);
  showState();
}

/* By reader. What another tab may have changed is read anew; where the browser keeps nothing, the page alone has it. */
const onPage = new Map();

function readingsOf(name) {
  if (store.failure === "" || !onPage.has(name)) onPage.set(name, new Readings(name, imagesOf));
  return onPage.get(name);
}

function becomeReader(name) {
  readings = readingsOf(name);
  otherReaders = Readings.readersKnown().filter((other) => other !== name).map(readingsOf);
  keepSession();
  showAll();
}

async function nameReader() {
  const name = await askName(readings?.reader ?? "", Readings.readersKnown());
  if (name === "" || name === readings?.reader) return;
  becomeReader(name);
  // What is hidden stays hidden: the new reader may not have seen it.
  if (blind !== null) {
    hideVerdicts((await hasSeen()) === "no");
    // Another reader has another order: the current cell lies elsewhere now.
    makeCurrent(current);
  }
  say(`${named(name)} reads: ${counted(readings.said.length, "reading")} of this run so far.`);
}

/* Whether there is a reader; asks for one. */
async function hasReader() {
  if (readings === null) await nameReader();
  return readings !== null;
}

async function change(act) {
  if (current === null) return;
  const place = current;
  if (!hasPictures(place)) return say(whyNotRead(place));
  if (!isOnScreen(place)) {
    makeCurrent(place);
    say(`Cell ${named(cellOf(place).id)} was off the screen and is not graded: here it is. Press the key again.`);
    return;
  }
  const wasUnnamed = readings === null;
  if (!(await hasReader())) return;
  const before = readings.of(cellOf(place).id);
  // The key that was meant for a next cell must not change the last one.
  if (place === lastRead) {
    lastRead = null;
    say(`Cell ${named(cellOf(place).id)} is read: ${readingInWords(before)}. Press the key again to change it.`);
    return;
  }
  if (wasUnnamed && before !== null) {
    say(`You have read this cell before: ${readingInWords(before)}. Press the key again to change it.`);
    return;
  }
  act(cellOf(place));
  showCell(place);
  sayChanged(place, before);
}

function sayChanged(place, before) {
  const { id } = cellOf(place);
  const reading = readings.of(id);
  const nowOpen = before?.blind && reading !== null && !reading.blind;
  say(
    `Cell ${named(id)}: ${reading === null ? "not read" : readingInWords(reading)}.` +
      (nowOpen ? " It was read blind and no longer is; u brings that back." : ""),
  );
}

async function grade(value) {
  const place = current;
  let isGraded = false;
  await change((cell) => {
    readings.grade(cell, value, countsAsBlind());
    isGraded = true;
  });
  if (isGraded) goOn(place);
}

function mark(name) {
  return change((cell) => readings.toggle(cell, name, countsAsBlind()));
}

/* Not where this reader has seen the verdicts in another tab meanwhile. */
function countsAsBlind() {
  return (blind?.counts ?? false) && !readings.about.hasSeen;
}

/* After a grade: the next unread cell of its group, or the statement that there is none. */
function goOn(place) {
  const group = groupOf(place);
  const next = nextUnread(group, place);
  if (next !== undefined) return makeCurrent(next);
  lastRead = place;
  say(group === toRead() ? `All ${group.length} are read. Save with s.` : "All of this group are read. Save with s.");
}

function groupOf(place) {
  return toRead().includes(place) ? toRead() : controls;
}

function nextUnread(places, from) {
  const start = places.indexOf(from) + 1;
  return [...places.slice(start), ...places.slice(0, start)].find((place) => !isRead(place));
}

function next() {
  const place = nextUnread(toRead(), current) ?? nextUnread(controls, current);
  if (place !== undefined) makeCurrent(place);
  else say("Every cell with lossless pictures is read. Save with s.");
}

function move(step) {
  const places = reachable();
  const place = places[Math.min(Math.max(places.indexOf(current) + step, 0), places.length - 1)];
  if (place !== undefined) makeCurrent(place);
}

function undo() {
  const cellId = readings?.undo() ?? null;
  if (cellId === null) {
    say("Nothing to undo.");
    return;
  }
  const place = placeOf.get(cellId);
  showCell(place);
  if (reachable().includes(place)) makeCurrent(place);
  const reading = readings.of(cellId);
  say(`Undone. Cell ${named(cellId)}: ${reading === null ? "not read" : readingInWords(reading)}.`);
}

/* "yes" or "no": whether the reader knows what the machine said; "" where the question was left. Where this browser
   has never shown it, nobody need be asked. */
async function hasSeen() {
  if (readings.about.hasSeen) return "yes";
  if (isOpenedBlind && store.read("localStorage", ...shownKey) === null) return "no";
  const answer = await ask(element("seen-dialog"));
  if (answer === "yes") readings.sawVerdicts();
  return answer;
}

async function toggleBlind() {
  if (blind !== null) return leaveBlind();
  if (articles.length === 0) return say("There is no cell to read.");
  if (!(await hasReader())) return;
  const answer = await hasSeen();
  if (answer === "") return;
  hideVerdicts(answer === "no");
  makeCurrent(nextUnread(blind.order, null) ?? blind.order[0]);
}

/* From now on whoever wants to read blind is asked. */
function noteShown() {
  store.write("localStorage", true, ...shownKey);
}

function hideVerdicts(counts) {
  blind = { counts, order: shuffled(articles, JSON.stringify([readings.reader, run.calls_sha256])) };
  showOrder(blind.order);
  showBlindNote(
    counts
      ? "Blind: verdict, probability, reason, rank and order are hidden, and controls are mixed in. Your readings count as blind."
      : "The verdicts are hidden, but you have seen them, or have read cells of this run with them in sight: your readings do not count as blind.",
  );
  keepSession();
  showAll();
}

async function leaveBlind() {
  if (blind.counts && (await ask(element("leave-dialog"))) !== "yes") return;
  showVerdicts();
  // A reload shows them again.
  if (isOpenedBlind) location.hash = "#cells";
  readings.sawVerdicts();
  keepSession();
  showAll();
  makeCurrent(current);
}

function showVerdicts() {
  blind = null;
  noteShown();
  showOrder(null);
  showBlindNote("");
}

async function save() {
  if (!(await hasReader())) return;
  const inOrder = [...placeOf.keys()].filter((id) => readings.byCell.has(id)).map((id) => [id, readings.byCell.get(id)]);
  const link = document.createElement("a");
  link.download = reviewName(readings.reader);
  link.href = URL.createObjectURL(new Blob([reviewText(readings.reader, inOrder, moment())], { type: "application/json" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  readings.keepAbout(false);
  showWho(readings);
  say(`${counted(readings.said.length, "reading")} saved as ${named(link.download)}, where this browser puts its downloads.`);
}

async function open(file) {
  try {
    if (file.size > LARGEST_REVIEW_BYTES) refuse(`It is no review file: ${file.size} bytes are too many.`);
    takeIn(parseReview(await file.arrayBuffer(), imagesOf));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await tellRefused(`${named(file.name)}: ${error.message}`);
  }
}

function takeIn({ reader, readings: read, sameCalls }) {
  const taking = readingsOf(reader);
  const counts = taking.takeIn(read);
  becomeReader(readings?.reader ?? reader);
  const whose = reader === readings.reader ? "" : ` They are kept apart: you read as ${named(readings.reader)}.`;
  const which = sameCalls ? "" : " They were made on other calls of this run; the pictures are the same.";
  say(
    `${counted(read.size, "reading")} of ${named(reader)} opened: ${counts.added} new, ${counts.replaced} later than here ` +
      `and taken, ${counts.kept} earlier than here and left, ${counts.same} the same.${whose}${which}`,
  );
}

function toggleTheme() {
  const isDark = root.dataset.theme === "dark" || (root.dataset.theme === "" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = isDark ? "light" : "dark";
  store.write("localStorage", root.dataset.theme, "edge-ctc theme");
}

const ACTS = {
  1: () => grade(1),
  2: () => grade(2),
  3: () => grade(3),
  4: () => grade(4),
  c: () => mark("cluster"),
  d: () => mark("debris"),
  q: () => mark("doubt"),
  n: next,
  u: undo,
  b: toggleBlind,
  s: save,
  o: () => element("review-file").click(),
  r: nameReader,
  t: toggleTheme,
  "?": () => ask(element("help-dialog")),
};
const MOVES = { ArrowRight: 1, ArrowDown: 1, j: 1, ArrowLeft: -1, ArrowUp: -1, k: -1 };

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]") !== null) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(ACTS, key) && !Object.hasOwn(MOVES, key)) return;
  event.preventDefault();
  if (Object.hasOwn(MOVES, key)) move(MOVES[key]);
  // A key that is held down must not grade one cell after the other.
  else if (!event.repeat) ACTS[key]();
}

function onClick(event) {
  const button = event.target.closest("#bar [data-key]");
  if (button !== null) ACTS[button.dataset.key]();
  const place = event.target.closest("article[data-cell-id], button[data-thumbnail-id]");
  if (place !== null && place !== current) makeCurrent(place, "nearest");
}

/* Nothing is shown before somebody has a name: by it the cells are shuffled, and a blind reading is somebody's. */
async function openBlind() {
  if (articles.length === 0) return showVerdicts();
  element("bar").hidden = true;
  while (!(await hasReader()));
  let answer = "";
  while (answer === "") answer = await hasSeen();
  element("bar").hidden = false;
  hideVerdicts(answer === "no");
  makeCurrent(nextUnread(blind.order, null) ?? blind.order[0]);
}

function restoreSession() {
  const session = store.read("sessionStorage", ...sessionKey);
  // Who is to read blind may be another than the one who read in this tab.
  if (isOpenedBlind && !session?.hidden) return openBlind();
  if (session !== null) becomeReader(session.reader);
  if (session?.hidden) hideVerdicts(session.counts && !readings.about.hasSeen);
  else noteShown();
}

function start() {
  store.onFailure = showStorageFailure;
  if (store.failure !== "") showStorageFailure();
  // A trial, too: whether the browser keeps anything is told before the first reading.
  store.write("localStorage", root.dataset.theme, "edge-ctc theme");
  element("bar").hidden = false;
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  document.addEventListener("focusin", ({ target }) => {
    if (target !== current && placeOf.get(cellOf(target).id) === target) makeCurrent(target, "nearest");
  });
  element("review-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (file !== undefined) await open(file);
    // The same file, mended, may be opened once more.
    target.value = "";
  });
  // Somebody wrote it at the end of the address of a page that was open already.
  window.addEventListener("hashchange", () => location.hash === "#blind" && blind === null && location.reload());
  window.addEventListener("storage", () => readings !== null && becomeReader(readings.reader));
  window.addEventListener("beforeunload", (event) => {
    if (store.failure !== "" && readings?.about.unsaved) event.preventDefault();
  });
  restoreSession();
  const first = nextUnread(toRead(), null) ?? reachable()[0];
  if (first !== undefined) {
    current = first;
    first.setAttribute("aria-current", "true");
    first.setAttribute("tabindex", "0");
  }
  showState();
}

drawnOnce.then(start);
