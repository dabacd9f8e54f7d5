// Two results side by side or one over the other, and in what they differ.

import { get } from "./api.js";
import { add, link, make, table } from "./elements.js";
import { fileBox, isSeen, picture, typeOf } from "./media.js";
import { again } from "./place.js";
import { shown } from "./words.js";

/** The comparison of two results. */
export async function showComparison(view, { query, signal }) {
  const asked = new URLSearchParams({ first: query.get("first") ?? "", second: query.get("second") ?? "" });
  const found = await get(`/api/comparison?${asked}`, signal);
  const sides = [found.first, found.second];
  add(view, make("h1", {}, "Two results compared"), ...pictures(sides));
  add(view, make("h2", {}, "What was set"));
  add(view, found.settings.length
    ? table("Settings that differ", ["Name", "First", "Second"], found.settings.map((one) => [one.name, shown(one.first), shown(one.second)]))
    : make("p", {}, "Both have the same settings."));
  const names = [...new Set(sides.flatMap((one) => Object.keys(one.scores)))];
  if (names.length) add(view, make("h2", {}, "Scores"), table("Scores", ["Name", "First", "Second"], names.map((name) => [name, ...sides.map((one) => shown(one.scores[name]))])));
  add(view, make("h2", {}, "Differences of the graphs"));
  add(view, found.changes.length
    ? table("Nodes that differ", ["Node", "Change", "Details"], found.changes.map((one) => [[one.node, make("span", { class: "hint" }, one.type)], one.kind, one.details.join(", ")]))
    : make("p", {}, "Every node is the same."));
}

function pictures(sides) {
  const seen = sides.map((one) => one.files.find((file) => isSeen(file) && typeOf(file).startsWith("image/")));
  const columns = make("div", { class: "sides" }, sides.map((one, index) => make(
    "section", { "aria-label": index ? "Second" : "First" },
    make("h2", {}, index ? "Second: " : "First: ", link(one.place, one.title || one.place)),
    one.files.filter(isSeen).slice(0, 4).map((file) => fileBox(file, `${index ? "Second" : "First"} result`)),
    make("p", {}, link(again(one), "Run again with a change")),
  )));
  if (!seen.every(Boolean)) return [columns];
  const over = overlay(seen);
  over.hidden = true;
  const toggle = make("button", { type: "button", "aria-pressed": "false" }, "One over the other");
  toggle.addEventListener("click", () => {
    over.hidden = !over.hidden;
    columns.hidden = !over.hidden;
    toggle.setAttribute("aria-pressed", String(!over.hidden));
  });
  return [make("div", { class: "actions" }, toggle), columns, over];
}

/** The second picture over the first one, from where a slider stands. */
function overlay([first, second]) {
  const stack = make("div", { class: "overlay" }, picture(first.url, "First result"), picture(second.url, "Second result, over the first one"));
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, id: "cut" });
  const cut = () => stack.style.setProperty("--cut", `${slider.value}%`);
  slider.addEventListener("input", cut);
  cut();
  return make("div", { class: "over" }, stack, make("div", { class: "field narrow" }, make("label", { for: "cut" }, "How much of the first one"), slider));
}
