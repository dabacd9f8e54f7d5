// Results by graph, job, seed and score; two of them are chosen to be compared.

import { get } from "./api.js";
import { add, button, link, make, say } from "./elements.js";
import { isSeen, picture, typeOf } from "./media.js";
import { counted, moment, shown } from "./words.js";

const LISTED = 48;

/** The gallery; what it is narrowed by is in the address. */
export async function showGallery(view, { query, signal }) {
  const wanted = Object.fromEntries(["graph", "job", "seed", "score", "order"].map((name) => [name, query.get(name) ?? ""]));
  const list = make("ul", { class: "cards results" });
  const count = make("p", { role: "status" });
  const more = button("More", () => load(list.children.length), { hidden: true });
  const chosen = new Chosen();
  let filters = null;

  async function load(from) {
    const asked = new URLSearchParams({ ...wanted, from, limit: LISTED });
    const found = await get(`/api/gallery?${asked}`, signal);
    if (!from) list.replaceChildren();
    list.append(...found.results.map((one) => card(one, chosen)));
    more.hidden = list.children.length >= found.total;
    count.textContent = found.total ? counted(found.total, "result") : "There is no such result yet";
    return found;
  }

  function narrow(name, value) {
    Object.assign(wanted, { [name]: value });
    const kept = new URLSearchParams(Object.entries(wanted).filter(([, one]) => one));
    history.replaceState(null, "", `#/gallery${kept.size ? `?${kept}` : ""}`);
    return load(0);
  }

  add(view, make("h1", {}, "Gallery"));
  filters = filterFields(await load(0), wanted, narrow);
  add(view, filters, count, list, more, chosen.bar);
}

/** Fields that narrow the gallery. */
function filterFields(found, wanted, narrow) {
  const choice = (name, text, options) => {
    const select = make("select", { id: `by-${name}` }, options.map(([value, label]) => make("option", { value, selected: value === wanted[name] }, label)));
    select.addEventListener("change", () => narrow(name, select.value));
    return make("div", { class: "field" }, make("label", { for: select.id }, text), select);
  };
  const seed = make("input", { id: "by-seed", type: "text", inputmode: "numeric", value: wanted.seed });
  seed.addEventListener("change", () => narrow("seed", seed.value));
  const orders = found.scores.map((name) => [name, name]);
  return make(
    "form", { class: "filters", "aria-label": "Which results", on: { submit: (event) => event.preventDefault() } },
    choice("graph", "graph", [["", "all"], ...found.graphs.map((name) => [name, name])]),
    choice("job", "job", [["", "all"], ...found.jobs.map((name) => [name, name])]),
    make("div", { class: "field" }, make("label", { for: "by-seed" }, "seed"), seed),
    choice("score", "sorted by", [["", "newest"], ...orders]),
    orders.length ? choice("order", "order", [["", "greatest first"], ["least", "least first"]]) : null,
  );
}

/** One result: its picture, and what it is known by. */
function card(result, chosen) {
  const file = result.files.find(isSeen);
  const facts = [
    result.job ? `job ${result.job}` : result.graph,
    result.seeds.length ? `seed ${result.seeds.slice(0, 3).map(String).join(", ")}` : null,
    ...Object.entries(result.scores).map(([name, value]) => `${name} ${shown(value)}`),
    result.ended ? moment(result.ended) : null,
  ].filter(Boolean);
  const title = result.title || result.graph || "A result";
  const image = file && typeOf(file).startsWith("image/") ? picture(file.url, "") : null;
  return make(
    "li", { class: "card" },
    image,
    make("h2", {}, link(result.place, title)),
    make("p", { class: "hint" }, facts.join(" · ")),
    chosen.box(result, title),
  );
}

/** The two results that are to be compared. */
class Chosen {
  constructor() {
    this.places = [];
    this.bar = make("div", { class: "chosen", hidden: true });
  }

  box(result, title) {
    const box = make("input", { type: "checkbox", "aria-label": `Compare ${title}, ${result.seeds.map(String).join(", ")}` });
    box.checked = this.places.includes(result.place);
    box.addEventListener("change", () => {
      this.places = this.places.filter((one) => one !== result.place).concat(box.checked ? [result.place] : []);
      this.show();
    });
    return make("label", { class: "compare" }, box, " compare");
  }

  show() {
    const [first, second] = this.places.slice(-2);
    const text = second ? "Compare these two" : "Choose another one to compare";
    const words = second ? link(`compare?${new URLSearchParams({ first, second })}`, text) : make("span", {}, text);
    if (second) words.className = "button first";
    this.bar.replaceChildren(words);
    this.bar.hidden = !first;
    say(text);
  }
}
