// The graphs of the server, and one of them with a form for its parameters.

import { get, part, post, requestKey } from "./api.js";
import { add, button, link, make, report, say, state, table } from "./elements.js";
import { makeForm } from "./form.js";
import { json, moment } from "./words.js";

/** Every graph, to be searched by name, title, description and keywords. */
export async function showGraphs(view, { signal, query }) {
  const { graphs } = await get("/api/graphs", signal);
  const search = make("input", { type: "search", id: "search", value: query.get("search") ?? "", placeholder: "text to image, inpaint, flux" });
  const list = make("ul", { class: "cards" });
  const narrow = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = graphs.filter((graph) => wanted.every((word) => textOf(graph).includes(word)));
    list.replaceChildren(...found.map(card));
    if (wanted.length) say(`${found.length} of ${graphs.length} graphs`);
  };
  search.addEventListener("input", narrow);
  add(
    view,
    make("h1", {}, "Graphs"),
    make("div", { class: "field narrow" }, make("label", { for: "search" }, "Search"), search),
    graphs.length ? list : make("p", {}, "This server has no graphs yet: put graph files into its folder."),
  );
  narrow();
}

const textOf = (graph) => [graph.name, graph.title, graph.description, ...graph.keywords].join(" ").toLowerCase();

function card(graph) {
  return make(
    "li", { class: "card" },
    make("h2", {}, link(`graphs/${part(graph.name)}`, graph.title || graph.name)),
    graph.description ? make("p", {}, graph.description) : null,
    make("p", { class: "hint" }, graph.name),
  );
}

/** One graph: its parameters to be set, what a run of it would do, and its latest runs. */
export async function showGraph(view, { name, query, signal }) {
  const from = query.get("from");
  const [graph, { runs }, values] = await Promise.all([
    get(`/api/graphs/${part(name)}`, signal),
    get(`/api/runs?graph=${encodeURIComponent(name)}&limit=5`, signal),
    from?.startsWith("runs/") ? get(`/api/runs/${encodeURIComponent(from.slice(5))}`, signal).then((run) => run.parameters) : {},
  ]);
  const form = makeForm(graph.parameters, values);
  add(
    view,
    make("h1", {}, graph.title || graph.name),
    graph.description ? make("p", {}, graph.description) : null,
    from ? earlier(from) : null,
    make("p", {}, link(`drawing/graphs/${part(name)}`, "The graph drawn"), make("span", { class: "hint" }, ` ${graph.name}`)),
    formOf(form, JSON.stringify(graph.name), (key) => post(graph.runs_url, form.body(), { "idempotency-key": key }), signal),
    latest(runs),
  );
}

/** The graph of a result that is none of the server's own, to be run again: of a posted graph, or of a job's item. */
export async function showAgain(view, { place, signal }) {
  const [kind, name, number] = place.split("/").map(encodeURIComponent);
  const found = kind === "runs" ? await get(`/api/runs/${name}/form`, signal) : await get(`/api/jobs/${name}/${number}/form`, signal);
  const form = makeForm(found.parameters);
  const asked = json(found.document);
  const run = (key) => post("/api/runs", `{"graph": ${asked}, "parameters": ${form.body()}}`, { "idempotency-key": key });
  add(view, make("h1", {}, found.title || "Run again"), make("p", {}, found.description), earlier(place), formOf(form, asked, run, signal));
}

const earlier = (place) => make("p", { class: "note" }, "The values are those of ", link(place, "an earlier result"), ": change what you want to see changed.");

/** The fields with buttons below: run it, or look at what would run. */
function formOf(form, graph, run, signal) {
  const planned = make("section", { "aria-live": "polite" });
  const pressed = make("button", { class: "first", id: "run" }, "Run");
  const plan = button("What would run?", async () => {
    element.querySelector(":scope > .fault")?.remove();
    planned.replaceChildren(...(await planOf(`{"graph": ${graph}, "parameters": ${form.body()}}`, signal)));
  }, { id: "plan" });
  const element = make(
    "form", { class: "stack", "aria-label": "Parameters" },
    make("div", { class: "fields" }, form.elements.length ? form.elements : make("p", {}, "This graph has no parameters.")),
    make("div", { class: "actions" }, pressed, plan),
    planned,
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    pressed.disabled = true;
    try {
      location.hash = `#/runs/${(await run(requestKey())).id}`;
    } catch (fault) {
      report(element, fault);
    } finally {
      pressed.disabled = false;
    }
  });
  return element;
}

/** What a run would compute, and why. */
async function planOf(asked, signal) {
  const plan = await post("/api/plan", asked, {}, signal);
  const rows = plan.steps.map((one) => [one.node, one.type, state(one.state), one.reason]);
  return [make("h2", {}, "What would run"), make("p", {}, plan.summary), table("Steps of the plan", ["Node", "Type", "State", "Why"], rows)];
}

function latest(runs) {
  if (!runs.length) return null;
  const rows = runs.map((run) => [link(`runs/${run.id}`, moment(run.submitted)), state(run.state)]);
  return make("section", {}, make("h2", {}, "Latest runs"), table("Latest runs", ["Submitted", "State"], rows));
}
