"use strict";
/* What the page shows of the readings. */

const articles = [...document.querySelectorAll("article[data-cell-id]")];
const thumbnails = [...document.querySelectorAll("button[data-thumbnail-id]")];
const candidates = articles.filter((article) => article.dataset.verdict !== "LEUKOCYTE");
const controls = articles.filter((article) => article.dataset.verdict === "LEUKOCYTE");
const home = new Map(articles.map((article) => [article, article.parentElement]));

function cellOf(place) {
  return { id: place.dataset.cellId ?? place.dataset.thumbnailId, images: place.dataset.images };
}
const placeOf = new Map([...articles, ...thumbnails].map((place) => [cellOf(place).id, place]));
const isThumbnail = (place) => place.dataset.thumbnailId !== undefined;

function say(words) {
  element("message").textContent = words;
}

/* `others`: [reader, reading] pairs to be shown beside. */
function showReading(place, reading, others) {
  const grade = String(reading?.grade ?? "");
  if ((place.dataset.grade ?? "") !== grade) place.dataset.grade = grade;
  if (isThumbnail(place)) return;
  const blind = reading?.blind ? " (blind)" : "";
  place.querySelector(".reading").textContent = reading === null ? "not read" : readingInWords(reading) + blind;
  const list = place.querySelector(".others");
  list.hidden = others.length === 0;
  list.replaceChildren(...others.map(([reader, theirs]) => {
    const line = document.createElement("li");
    line.textContent = `${named(reader)}: ${readingInWords(theirs)}`;
    return line;
  }));
}

function showCurrent(before, place, block) {
  before?.removeAttribute("aria-current");
  before?.setAttribute("tabindex", "-1");
  place.setAttribute("aria-current", "true");
  place.setAttribute("tabindex", "0");
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block });
  showLens(place);
}

const hasPictures = (place) => !isThumbnail(place) && place.querySelector("img") !== null;

function whyNotRead(place) {
  const { id } = cellOf(place);
  if (!isThumbnail(place)) return `Cell ${named(id)} has no picture here: it cannot be graded.`;
  return `Cell ${named(id)} is lossy here and cannot be graded: edge-ctc report draws it in all channels with --also ${named(id)}.`;
}

const LEAST_SEEN_PX = 80;

/* Whether enough of it stands on the screen, above the bar, for a reader to know which cell she grades. */
function isOnScreen(place) {
  const { top, bottom } = place.getBoundingClientRect();
  if (top === bottom) return false;
  const seen = Math.min(bottom, element("bar").getBoundingClientRect().top) - Math.max(top, 0);
  return seen >= Math.min(LEAST_SEEN_PX, bottom - top);
}

function showLens(place) {
  const lens = element("lens");
  lens.hidden = !isThumbnail(place);
  if (lens.hidden) return;
  lens.querySelector(".picture").className = `picture ${place.querySelector(".tile")?.className ?? ""}`;
  lens.querySelector(".cell-id").textContent = visible(cellOf(place).id);
  lens.querySelector(".rank").textContent = place.dataset.rank;
}

/* The buttons say what the current cell has. */
function showPressed(reading) {
  for (const button of document.querySelectorAll(".grades button")) {
    button.setAttribute("aria-pressed", String(button.dataset.key === String(reading?.grade)));
  }
  for (const [index, button] of document.querySelectorAll(".marks button").entries()) {
    button.setAttribute("aria-pressed", String(reading?.marks.includes(MARKS[index]) ?? false));
  }
}

/* `others`: read cells beside those that are to be read. */
function showProgress(read, all, others) {
  const beside = others === 0 ? "" : `, and ${counted(others, "other")}`;
  element("progress").textContent = (all === 0 ? "no candidates to read" : `${read} of ${all} read`) + beside;
}

function showWho(readings) {
  element("read-by").textContent =
    readings === null ? "Not read on this page." : `Read by ${named(readings.reader)}: ${element("progress").textContent}.`;
  element("who").textContent =
    readings === null ? "no reader named yet" : `${named(readings.reader)}${readings.about.unsaved ? ", not saved as a file" : ""}`;
}

function showStorageFailure() {
  element("not-kept").hidden = false;
  element("not-kept").textContent =
    `Your readings are NOT kept in this browser (${store.failure}). Save them with s before you close or reload this page.`;
}

/* `order`: of the articles while they are shuffled; null: each back to its section, by rank. */
function showOrder(order) {
  root.classList.toggle("blind", order !== null);
  element("blind-cells").hidden = order === null;
  document.querySelector('[data-key="b"]').setAttribute("aria-pressed", String(order !== null));
  // Pictures that come late would tell the lower ranks.
  if (order !== null) for (const picture of document.querySelectorAll("article img")) picture.loading = "eager";
  if (order !== null) element("blind-cells").append(...order);
  else for (const article of articles) home.get(article).append(article);
}

function showBlindNote(words) {
  const note = document.querySelector(".blind-note");
  note.hidden = words === "";
  note.textContent = words;
}
