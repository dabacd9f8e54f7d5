// A graph as a picture, to be zoomed; each node is a button that shows its inputs and their help.

import { get, part } from "./api.js";
import { add, button, facts, link, make, say, table } from "./elements.js";
import { shown } from "./words.js";

const LEAST = 0.25;
const MOST = 4;

/** The drawing of a graph, `drawing/graphs/NAME` or `drawing/runs/ID`. */
export async function showDrawing(view, { place, signal }) {
  const name = place.replace(/^(graphs|runs)\//, "");
  const drawn = place.startsWith("runs/") ? await get(`/api/runs/${encodeURIComponent(name)}/drawing`, signal) : await get(`/api/graphs/${part(name)}/drawing`, signal);
  const held = URL.createObjectURL(new Blob([drawn.svg], { type: "image/svg+xml" }));
  signal.addEventListener("abort", () => URL.revokeObjectURL(held));
  const nodes = drawn.boxes.filter((box) => box.type);
  const panel = make("section", { class: "panel", "aria-label": "The chosen node" }, make("p", { class: "hint" }, "Choose a node to see its inputs."));
  const canvas = make("div", { class: "canvas" }, make("img", { src: held, alt: `Nodes of the graph and the links between them: ${nodes.map((box) => box.title).join(", ")}` }), drawn.boxes.map((box) => hotspot(box, drawn, panel, signal)));
  const frame = make("div", { class: "drawing", tabindex: "0", role: "region", "aria-label": "The drawing; arrow keys move it" }, canvas);
  add(
    view,
    make("h1", {}, drawn.title || name),
    make("p", {}, link(place.startsWith("runs/") ? place : `graphs/${part(name)}`, place.startsWith("runs/") ? "The run" : "Its parameters")),
    zoomTools(frame, canvas, drawn),
    make("div", { class: "drawn" }, frame, panel),
  );
}

/** Buttons that make the drawing larger and smaller. */
function zoomTools(frame, canvas, { width }) {
  let scale = 1;
  const set = (wanted) => {
    scale = Math.min(MOST, Math.max(LEAST, wanted));
    canvas.style.width = `${Math.round(width * scale)}px`;
    say(`${Math.round(scale * 100)} %`);
  };
  const fit = () => set(Math.min(1, (frame.clientWidth - 2) / width));
  requestAnimationFrame(() => set(Math.min(1, Math.max(0.5, (frame.clientWidth - 2) / width))));
  return make("div", { class: "actions" }, button("Larger", () => set(scale * 1.25)), button("Smaller", () => set(scale / 1.25)), button("Fit", fit));
}

/** A button over a node; its place is a part of the whole, so it stays there at every size. */
function hotspot(box, drawn, panel, signal) {
  if (!box.type) return null;
  const made = make("button", { type: "button", class: "node", "aria-label": `${box.title}, ${box.type}` });
  const share = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(made.style, { left: share(box.x, drawn.width), top: share(box.y, drawn.height), width: share(box.width, drawn.width), height: share(box.height, drawn.height) });
  made.addEventListener("click", async () => {
    for (const other of made.parentElement.querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    made.setAttribute("aria-pressed", "true");
    const type = box.known ? await get(`/api/node-types/${part(box.type)}`, signal) : null;
    const head = make("h2", { tabindex: "-1" }, box.title);
    panel.replaceChildren(head, ...about(box, type), button("Back to the drawing", () => made.focus()));
    panel.onkeydown = (event) => { if (event.key === "Escape") made.focus(); };
    head.focus();
  });
  return made;
}

/** What is known of a node: its type with help, its inputs with values, links and help, its outputs. */
function about(box, type) {
  const given = new Map([...Object.entries(box.links).map(([name, from]) => [name, `from ${from.join(", ")}`]), ...Object.entries(box.literals)]);
  const known = Object.entries(type?.inputs ?? {});
  const rows = known.map(([name, input]) => [name, given.get(name) ?? ("default" in input ? `${shown(input.default)} (default)` : "not set"), input.type, input.help]);
  const rest = [...given].filter(([name]) => !type?.inputs[name]).map(([name, value]) => [name, value, "", ""]);
  return [
    make("p", {}, type ? type.description.split("\n\n")[0] : `The type ${box.type} is a subgraph, or is not installed here.`),
    facts([["Type", box.type], ["Category", type?.category], ["Outputs", type ? Object.entries(type.outputs).map(([name, kind]) => `${name}: ${kind}`).join(", ") : ""]]),
    rows.length + rest.length ? table(`Inputs of ${box.title}`, ["Input", "Value", "Type", "Help"], [...rows, ...rest]) : make("p", {}, "It has no inputs."),
  ];
}
