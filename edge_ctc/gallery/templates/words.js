"use strict";
/* The words that people see. */

const GRADES = { 1: "definitely not", 2: "most likely not", 3: "most likely", 4: "definitely a CTC" };
const MARKS = ["cluster", "debris", "doubt"];

/* Text of others with every character that cannot be seen written as its code point, in a direction of its own. */
function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/* The same for a sentence: isolated, and no longer than one can read. */
function named(text) {
  const letters = [...text];
  return `\u2068${visible(letters.length > 80 ? letters.slice(0, 80).join("") + "…" : text)}\u2069`;
}

function counted(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

function readingInWords(reading) {
  const grade = reading.grade === null ? "no grade" : `${reading.grade} ${GRADES[reading.grade]}`;
  return [grade, ...reading.marks].join(", ");
}
