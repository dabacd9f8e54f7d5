// The page: which view an address shows. Addresses are behind `#/`, so that nothing of them is sent to the server.

import { showComparison } from "./compare.js";
import { showDrawing } from "./drawing.js";
import { add, faultBox, make } from "./elements.js";
import { showGallery } from "./gallery.js";
import { showAgain, showGraph, showGraphs } from "./graphs.js";
import { showItem, showJob, showJobs } from "./jobs.js";
import { showQueue } from "./queue.js";
import { showRun } from "./run.js";

const VIEWS = [
  [/^graphs$/, showGraphs],
  [/^graphs\/(?<name>.+)$/, showGraph],
  [/^again\/(?<place>.+)$/, showAgain],
  [/^runs\/(?<id>[0-9a-f]+)$/, showRun],
  [/^gallery$/, showGallery],
  [/^compare$/, showComparison],
  [/^drawing\/(?<place>(graphs|runs)\/.+)$/, showDrawing],
  [/^jobs$/, showJobs],
  [/^jobs\/(?<name>[^/]+)$/, showJob],
  [/^jobs\/(?<name>[^/]+)\/(?<number>\d+)$/, showItem],
  [/^queue$/, showQueue],
];

const main = document.getElementById("main");
let leave = new AbortController();

/** Show the view of the present address; what the one before still does is ended. */
async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [path, query = ""] = location.hash.replace(/^#\//, "").split("?");
  const place = decoded(path) || "graphs";
  for (const entry of document.querySelectorAll("nav a")) {
    const section = entry.getAttribute("href").slice(2);
    if (section === sectionOf(place)) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  const view = make("div", { class: "view" });
  main.replaceChildren(view);
  main.setAttribute("aria-busy", "true");
  try {
    const found = VIEWS.map(([pattern, work]) => [place.match(pattern), work]).find(([match]) => match);
    if (found) await found[1](view, { ...found[0].groups, query: new URLSearchParams(query), signal });
    else add(view, make("h1", {}, "There is no such page"), make("p", {}, "The bar above leads to those that are here."));
  } catch (fault) {
    if (signal.aborted) return;
    if (!view.querySelector("h1")) view.prepend(make("h1", {}, "This cannot be shown"));
    view.querySelector("h1").after(faultBox(fault));
  } finally {
    if (!signal.aborted) settle(view);
  }
}

/** An address without its escapes; one that is malformed as it is. */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

const SECTIONS = { runs: "gallery", compare: "gallery", drawing: "graphs", again: "gallery" };

const sectionOf = (place) => SECTIONS[place.split("/")[0]] ?? place.split("/")[0];

/** Name the document after the view, and put the focus at its beginning, as a new document has it. */
function settle(view) {
  main.removeAttribute("aria-busy");
  const head = view.querySelector("h1");
  document.title = head ? `${head.textContent} - Weft` : "Weft";
  if (arrived && !view.contains(document.activeElement)) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  arrived = true;
}

let arrived = false;

document.getElementById("skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", show);
show();
