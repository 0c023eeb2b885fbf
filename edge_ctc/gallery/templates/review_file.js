"use strict";
/* The review file: how readings leave the page and come back in. */

const REVIEW_KIND = "edge-ctc review";
const LARGEST_REVIEW_BYTES = 32 * 1024 * 1024;

class Refused extends Error {}

function refuse(why) {
  throw new Refused(why);
}

/* `readings`: [cell id, reading] pairs. */
function reviewText(reader, readings, savedAt) {
  const content = {
    schema_version: 1,
    kind: REVIEW_KIND,
    run_id: run.run_id,
    calls_sha256: run.calls_sha256,
    checkpoint_sha256: run.checkpoint_sha256,
    reader,
    saved_at_utc: savedAt,
    readings: readings.map(([cell_id, reading]) => ({ cell_id, ...reading })),
  };
  return JSON.stringify(content, null, 1) + "\n";
}

function reviewName(reader) {
  const safe = (text) => text.replace(/[\p{C}\p{Zl}\p{Zp}"*/:<>?\\|]/gu, "_");
  return `${safe(run.run_id).slice(0, 120)}.${safe(reader).slice(0, 60)}.ctc-review.json`;
}

/* The reader and the readings of `bytes`. `imagesOf` gives the images_sha256 of a cell of this page, or undefined.
   Throws Refused with what was found and what was expected. */
function parseReview(bytes, imagesOf) {
  const content = parsedJson(bytes);
  requireForm(content);
  if (content.run_id !== run.run_id) {
    refuse(`It is of another run: run_id is ${named(content.run_id)}, this page is of ${named(run.run_id)}.`);
  }
  const readings = new Map();
  for (const { cell_id, ...reading } of content.readings) {
    requireThisCell(cell_id, reading, imagesOf(cell_id));
    if (readings.has(cell_id)) refuse(`It is spoilt: cell ${named(cell_id)} stands in it twice.`);
    readings.set(cell_id, reading);
  }
  return { reader: content.reader.trim(), readings, sameCalls: content.calls_sha256 === run.calls_sha256 };
}

function parsedJson(bytes) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return refuse(`It is no review file, or a spoilt one: it cannot be read as JSON (${error.message}).`);
  }
}

function requireThisCell(cellId, reading, images) {
  if (images === undefined) {
    refuse(`It is of another run, or of other calls: cell ${named(cellId)} is not among the evaluable cells here.`);
  }
  if (images !== reading.images_sha256) {
    const [there, here] = [reading.images_sha256.slice(0, 12), images.slice(0, 12)];
    refuse(`It was read on other pictures: images_sha256 of cell ${named(cellId)} is ${there}… there, ${here}… here.`);
  }
}

const isText = (value) => typeof value === "string";
const isSha256 = (value) => isText(value) && /^[0-9a-f]{64}$/.test(value);
const isReader = (value) => isText(value) && value.trim() !== "" && [...value].length <= 100;
/* Not from the future, but for clocks that differ: the later reading stays, and that one would stay for ever. */
const isMoment = (value) =>
  isText(value) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) && Date.parse(value) < Date.now() + 24 * 3600 * 1000;
const isMarks = (value) =>
  Array.isArray(value) && JSON.stringify(MARKS.filter((mark) => value.includes(mark))) === JSON.stringify(value);

const READING_FORM = {
  images_sha256: isSha256,
  grade: (value) => value === null || [1, 2, 3, 4].includes(value),
  marks: isMarks,
  read_at_utc: isMoment,
  blind: (value) => typeof value === "boolean",
};
const FILE_FORM = {
  schema_version: (value) => value === 1,
  kind: (value) => value === REVIEW_KIND,
  run_id: isText,
  calls_sha256: isSha256,
  checkpoint_sha256: isSha256,
  reader: isReader,
  saved_at_utc: isMoment,
  readings: Array.isArray,
};

function requireForm(content) {
  requireKeys(content, FILE_FORM, "it");
  for (const reading of content.readings) requireKeys(reading, { cell_id: isText, ...READING_FORM }, "a reading");
}

function requireKeys(value, form, what) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(`It is no review file, or a spoilt one: ${what} is no JSON object.`);
  }
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(form, key));
  if (unknown !== undefined) refuse(`It is no review file, or a spoilt one: ${what} has the unknown key ${named(unknown)}.`);
  const wrong = Object.keys(form).find((key) => !form[key](value[key]));
  if (wrong !== undefined) {
    const found = named(JSON.stringify(value[wrong]) ?? "nothing");
    refuse(`It is no review file, or a spoilt one: ${wrong} of ${what} is ${found}.`);
  }
}
