"use strict";
/* Questions that the keyboard can answer. */

const element = (id) => document.getElementById(id);

/* The value of the button that closed the dialog; "" where it was left. */
function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  // Not by "autofocus": that takes part in the loading of the page, too, when somebody presses keys already.
  dialog.querySelector("[data-first]")?.focus();
  return new Promise((resolve) => {
    // At once: the next key may come between the answer and the event "close".
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close(event.submitter.value);
      resolve(dialog.returnValue);
    };
    dialog.onclose = () => dialog.open || resolve(dialog.returnValue);
  });
}

/* A name, or "" where none was given. */
async function askName(reader, known) {
  element("name").value = reader;
  element("known-readers").replaceChildren(...known.map((name) => new Option("", name)));
  element("name").setCustomValidity("");
  return (await ask(element("name-dialog"))) === "yes" ? element("name").value.trim() : "";
}

async function tellRefused(why) {
  element("refused-why").textContent = why;
  await ask(element("refused-dialog"));
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector(".cancel")?.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const button = dialog.querySelector(`[data-answer="${CSS.escape(event.key.toLowerCase())}"]`);
    if (button === null) return;
    // The dialog closes: without this the key would go on to the page, where n is "next".
    event.stopPropagation();
    event.preventDefault();
    button.click();
  });
}

element("name").addEventListener("input", ({ target }) => {
  target.setCustomValidity(target.value.trim() === "" ? "A name is not blank." : "");
});
