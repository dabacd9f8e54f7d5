// A run as it happens: its plan with reasons, bars, previews, pictures, and what went wrong.

import { follow, get, post } from "./api.js";
import { add, bar, button, facts, faultBox, link, make, say, state, table } from "./elements.js";
import { fileBox } from "./media.js";
import { again } from "./place.js";
import { counted, moment, shown, span } from "./words.js";

/** A run, from its first event to its last one. */
export async function showRun(view, { id, signal }) {
  const run = await get(`/api/runs/${id}`, signal);
  const shownRun = new RunView(run);
  add(view, ...shownRun.elements);
  shownRun.setRun(run);
  listen(shownRun, id, signal);
}

async function listen(shownRun, id, signal) {
  try {
    for await (const event of follow(id, signal)) {
      if (signal.aborted) return;
      shownRun.hear(event);
    }
  } catch (fault) {
    shownRun.fail(fault);
  }
}

/** What is shown of a run. */
class RunView {
  constructor(run) {
    this.run = run;
    this.nodes = new Map();
    this.files = new Map();
    this.title = make("h1", {}, run.title || run.graph || "A posted graph");
    this.line = make("p", { class: "line" });
    this.whole = bar(0, 1, "The whole run");
    this.head = make("div", { class: "head" });
    this.actions = make("div", { class: "actions" });
    this.previews = make("div", { class: "pictures previews" });
    this.pictures = make("div", { class: "pictures" });
    this.rows = make("tbody", {});
    this.steps = make("section", { hidden: true }, make("h2", {}, "Steps"), this.stepTable());
    this.warnings = make("ul", { class: "warnings" });
    this.faults = make("div", {});
    this.about = make("section", {});
  }

  get elements() {
    const seen = make("section", { "aria-label": "Pictures" }, this.previews, this.pictures);
    return [this.title, this.line, this.whole, this.actions, this.faults, seen, this.warnings, this.steps, this.about];
  }

  stepTable() {
    const heads = ["Node", "State", "Progress and reason"].map((head) => make("th", { scope: "col" }, head));
    const caption = make("caption", { class: "unseen" }, "The nodes of the run");
    return make("div", { class: "wide steps", tabindex: "0", role: "region", "aria-label": "The nodes of the run" }, make("table", {}, caption, make("thead", {}, make("tr", {}, heads)), this.rows));
  }

  hear(event) {
    if (this.lost && event.event !== "connection_lost") this.setRun(this.run);
    this.lost = event.event === "connection_lost";
    const heard = this[`on_${event.event}`];
    if (heard) heard.call(this, event);
  }

  on_queued({ ahead }) {
    if (this.run.state === "queued") this.line.textContent = ahead ? `Waiting; ${counted(ahead, "run")} before it` : "Waiting";
  }

  on_plan({ steps }) {
    this.rows.replaceChildren();
    this.previews.replaceChildren();
    this.nodes.clear();
    for (const step of steps) this.node(step.node, step).why.textContent = step.reason;
    for (const step of steps) this.set(step.node, step.state === "run" ? "waits" : step.state);
    this.steps.hidden = false;
    if (this.run.state === "queued") this.setRun({ ...this.run, state: "running" });
  }

  on_run_started({ run, cached }) {
    this.line.replaceChildren(state("running"), ` ${counted(run, "node")} to compute, ${cached} known already`);
    say(`Running, ${counted(run, "node")} to compute`);
  }

  on_node_started({ node, type }) {
    this.node(node, { type });
    this.set(node, "running");
  }

  on_node_progress({ node, type, step, steps, preview }) {
    const row = this.node(node, { type });
    row.bar.hidden = false;
    row.bar.max = steps;
    row.bar.value = step;
    row.count.textContent = `${step} of ${steps}`;
    if (preview) this.preview(node, step, steps, preview);
    this.advance(row);
  }

  preview(node, step, steps, content) {
    const row = this.node(node, {});
    if (!row.preview) {
      row.preview = make("img", { alt: "", class: "preview" });
      row.caption = make("figcaption", {});
      row.figure = make("figure", {}, row.preview, row.caption);
      this.previews.append(row.figure);
    }
    row.preview.src = `data:image/png;base64,${content}`;
    row.preview.alt = `Preview of ${node}, step ${step} of ${steps}`;
    row.caption.textContent = `${node}, step ${step} of ${steps}`;
  }

  on_node_cached({ node, type, tier }) {
    const row = this.node(node, { type });
    if (!row.why.textContent) row.why.textContent = tier === "earlier run" ? "given by an earlier run" : `in the ${tier} store`;
    this.set(node, "cached");
    this.advance();
  }

  on_node_finished({ node, seconds }) {
    const row = this.node(node, {});
    row.count.textContent = span(seconds);
    row.bar.hidden = true;
    this.set(node, "done");
    this.advance();
  }

  on_node_failed({ node, type, error }) {
    this.node(node, { type }).why.textContent = error;
    this.set(node, "failed");
  }

  on_node_blocked({ node, type, by }) {
    this.node(node, { type }).why.textContent = `${by} failed`;
    this.set(node, "blocked");
  }

  on_warning({ node, message, hint }) {
    this.warnings.append(make("li", {}, node ? `${node}: ` : null, message, hint ? make("span", { class: "hint" }, hint) : null));
  }

  on_artifact({ path, url, media_type }) {
    if (!this.files.has(url)) this.addFile({ name: path, url, media_type });
  }

  on_connection_lost() {
    this.line.textContent = "The connection was lost; it is taken up again";
  }

  on_ended({ run }) {
    this.setRun(run);
    say(`The run is ${run.state}${run.result?.files.length ? `, with ${counted(run.result.files.length, "file")}` : ""}`);
  }

  /** How far the whole run is: nodes that have ended, and the part of the one that goes on. */
  advance(partly) {
    const rows = [...this.nodes.values()];
    const ended = rows.filter((row) => ["done", "cached", "unneeded"].includes(row.is)).length;
    this.whole.max = Math.max(rows.length, 1);
    this.whole.value = ended + (partly ? partly.bar.value / partly.bar.max : 0);
  }

  /** The row of a node, made where there is none. */
  node(id, { type }) {
    let row = this.nodes.get(id);
    if (!row) {
      row = { is: "", state: make("td", {}), bar: make("progress", { hidden: true, "aria-label": `Progress of ${id}` }), count: make("span", {}), why: make("span", { class: "hint" }) };
      this.rows.append(make("tr", {}, make("th", { scope: "row" }, id, make("span", { class: "hint" }, type ?? "")), row.state, make("td", { class: "going" }, row.bar, row.count, row.why)));
      this.nodes.set(id, row);
    }
    return row;
  }

  set(id, name) {
    const row = this.nodes.get(id);
    row.is = name;
    row.state.replaceChildren(state(name));
  }

  addFile(file) {
    this.files.set(file.url, true);
    this.pictures.append(fileBox(file, `${this.run.title || this.run.graph || "Result"}: ${file.name}`));
    for (const row of this.nodes.values()) row.figure?.remove();
  }

  /** Show a run as the server gives it. */
  setRun(run) {
    this.run = run;
    const over = ["done", "failed", "cancelled"].includes(run.state);
    const took = run.started && run.ended ? ` in ${span(run.ended - run.started)}` : "";
    const words = { queued: "Waiting", running: "Running", done: `Done${took}`, failed: `Failed${took}`, cancelled: "Cancelled" };
    this.line.replaceChildren(state(run.state), ` ${words[run.state]}`);
    this.whole.hidden = over;
    this.showActions(over);
    if (!over) return;
    if (run.state !== "done") for (const row of this.nodes.values()) row.bar.hidden = true;
    for (const file of run.result?.files ?? []) if (!this.files.has(file.url)) this.addFile(file);
    this.faults.replaceChildren(...this.faultsOf(run).map(faultBox));
    this.about.replaceChildren(...this.aboutRun(run));
    if (!this.nodes.size && run.result) this.showRan(run.result);
  }

  faultsOf(run) {
    const failures = (run.result?.failures ?? []).map((one) => ({ problems: [{ node: one.node, message: one.error ?? one.message ?? shown(one), hint: one.hint }] }));
    return failures.length ? failures : run.error ? [run.error] : [];
  }

  /** What ran, of a run whose events are not kept any more. */
  showRan({ ran, cached }) {
    for (const [names, name] of [[cached, "cached"], [ran, "done"]]) {
      for (const id of names) {
        this.node(id, {});
        this.set(id, name);
      }
    }
    this.steps.hidden = this.nodes.size === 0;
  }

  showActions(over) {
    const cancel = over ? null : button("Cancel", () => this.cancel(), { id: "cancel" });
    const changed = link(again({ place: `runs/${this.run.id}`, graph: this.run.graph }), "Run again with a change");
    const drawn = link(`drawing/runs/${this.run.id}`, "Its graph drawn");
    for (const one of [changed, drawn]) one.classList.add("button");
    const key = `${over} ${this.run.graph}`;
    if (this.actionsFor === key) return;
    this.actionsFor = key;
    this.actions.replaceChildren(...[cancel, changed, drawn].filter(Boolean));
  }

  async cancel() {
    this.line.textContent = "It is being cancelled";
    this.setRun(await post(`/api/runs/${this.run.id}/cancel`));
  }

  aboutRun(run) {
    const outputs = Object.entries(run.result?.outputs ?? {}).map(([name, value]) => [name, shown(value)]);
    const given = Object.entries(run.parameters).map(([name, value]) => [name, shown(value)]);
    return [
      outputs.length ? [make("h2", {}, "Outputs"), table("Outputs", ["Name", "Value"], outputs)] : [],
      given.length ? [make("h2", {}, "Parameters"), table("Parameters", ["Name", "Value"], given)] : [],
      make("h2", {}, "About this run"),
      facts([["Graph", run.graph], ["Submitted", moment(run.submitted)], ["By", run.caller], ["Waited", span((run.started ?? run.submitted) - run.submitted)], ["Id", run.id]]),
    ].flat();
  }

  fail(fault) {
    this.faults.replaceChildren(faultBox(fault));
  }
}
