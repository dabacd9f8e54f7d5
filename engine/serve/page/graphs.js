// The graphs of the server, and one of them with a form for its parameters.

import { get, part, post, requestKey } from "./api.js";
import { add, button, link, make, report, say, state, table } from "./elements.js";
import { makeForm } from "./form.js";
import { moment } from "./words.js";

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
  const [graph, { runs }, values] = await Promise.all([
    get(`/api/graphs/${part(name)}`, signal),
    get(`/api/runs?graph=${encodeURIComponent(name)}&limit=5`, signal),
    earlierValues(query, signal),
  ]);
  const form = makeForm(graph.parameters, values);
  const planned = make("section", { class: "planned", "aria-live": "polite" });
  const element = make(
    "form", { class: "stack", "aria-label": "Parameters", novalidate: false },
    make("div", { class: "fields" }, form.elements.length ? form.elements : make("p", {}, "This graph has no parameters.")),
    make(
      "div", { class: "actions" },
      make("button", { class: "first", id: "run" }, "Run"),
      button("What would run?", async () => planned.replaceChildren(...(await planOf(graph, form, signal))), { id: "plan" }),
    ),
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const pressed = element.querySelector("#run");
    pressed.disabled = true;
    try {
      const run = await post(graph.runs_url, form.body(), { "idempotency-key": requestKey() });
      location.hash = `#/runs/${run.id}`;
    } catch (fault) {
      report(element, fault);
    } finally {
      pressed.disabled = false;
    }
  });
  add(
    view,
    make("h1", {}, graph.title || graph.name),
    make("p", {}, graph.description),
    query.get("from") ? make("p", { class: "note" }, "The values are those of ", link(query.get("from"), "an earlier result"), ": change what you want to see changed.") : null,
    element,
    planned,
    latest(runs),
  );
}

/** The values of an earlier result, `?from=runs/ID` or `?from=jobs/NAME/NUMBER`. */
async function earlierValues(query, signal) {
  const [kind, name, number] = (query.get("from") ?? "").split("/");
  if (kind === "runs") return (await get(`/api/runs/${name}`, signal)).parameters;
  if (kind !== "jobs") return {};
  const { items } = await get(`/api/jobs/${part(name)}`, signal);
  return items.find((item) => String(item.number) === number)?.settings ?? {};
}

/** What a run would compute, and why. */
async function planOf(graph, form, signal) {
  const asked = `{"graph": ${JSON.stringify(graph.name)}, "parameters": ${form.body()}}`;
  const plan = await post("/api/plan", asked, {}, signal);
  return [make("h2", {}, "What would run"), make("p", {}, plan.summary), planTable(plan.steps)];
}

/** The steps of a plan, with the reason of each. */
export function planTable(steps) {
  return table("Steps of the plan", ["Node", "Type", "State", "Why"], steps.map((one) => [one.node, one.type, state(one.state), one.reason]));
}

function latest(runs) {
  if (!runs.length) return null;
  const rows = runs.map((run) => [link(`runs/${run.id}`, moment(run.submitted)), state(run.state)]);
  return make("section", {}, make("h2", {}, "Latest runs"), table("Latest runs", ["Submitted", "State"], rows));
}
