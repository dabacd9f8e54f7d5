// Elements made from text. What graphs, runs and people wrote is set as text, never read as HTML.

/** An element with properties and children; `on` has listeners, `class` classes, others are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  return add(element, ...children);
}

/** Add children to an element; what is null, undefined or false is left out. */
export function add(element, ...children) {
  element.append(...children.flat(2).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

/** A link to a place of the page. */
export const link = (place, ...children) => make("a", { href: `#/${place}` }, ...children);

/** A button that does something; until that has ended it does nothing else. It stays where the focus is. */
export function button(text, work, properties = {}) {
  const made = make("button", { type: "button", ...properties }, text);
  made.addEventListener("click", async () => {
    if (made.hasAttribute("aria-busy")) return;
    made.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (fault) {
      if (fault.name !== "AbortError") report(made.closest("section, form, .view") ?? document.body, fault);
    } finally {
      made.removeAttribute("aria-busy");
    }
  });
  return made;
}

/** A row of names and values. */
export function facts(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** A table with a caption for those who hear it; each row is a list of cells, the first one its head. */
export function table(caption, heads, rows) {
  const cell = (value, index) => make(index ? "td" : "th", index ? {} : { scope: "row" }, value);
  return make(
    "div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table", {},
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))),
    ),
  );
}

/** A bar of how far something is. */
export const bar = (done, total, label) => make("progress", { max: Math.max(total, 1), value: done, "aria-label": label });

/** Say something to those who hear the page, without moving them. */
export function say(text) {
  document.getElementById("spoken").textContent = text;
}

/** What went wrong, in words, with every problem of it; spoken at once. */
export function faultBox(fault) {
  const problems = fault.problems?.length ? fault.problems : [{ message: fault.message, hint: fault.hint }];
  return make(
    "div", { class: "fault", role: "alert" },
    make("ul", {}, problems.map((one) => make(
      "li", {},
      make("strong", {}, [one.node, one.input].filter(Boolean).join(".") || null), one.node ? ": " : null,
      one.message, one.hint ? make("span", { class: "hint" }, one.hint) : null,
    ))),
  );
}

/** Show a fault at the top of a part of the page, in place of the one before. */
export function report(part, fault) {
  part.querySelector(":scope > .fault")?.remove();
  const box = faultBox(fault);
  const head = part.querySelector(":scope > h1, :scope > h2, :scope > .head");
  head ? head.after(box) : part.prepend(box);
  box.scrollIntoView({ block: "nearest" });
}

/** A word for the state of a run, a node or an item. */
export const state = (name) => make("span", { class: `state ${name.replaceAll(/\W/g, "")}` }, name);
