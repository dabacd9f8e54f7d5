// What runs and what waits, for whom, and the devices with their memory.

import { forgetToken, get, hasToken, post } from "./api.js";
import { add, bar, button, facts, link, make, report, say, state, table } from "./elements.js";
import { every } from "./polling.js";
import { moment, size, span } from "./words.js";

const SECONDS = 2;

/** The queue and the devices. */
export async function showQueue(view, { signal }) {
  const about = make("div", {});
  const runs = make("section", {});
  const callers = make("section", {});
  const workers = make("section", {});
  const devices = make("section", {});
  let shownRuns = "";

  async function look() {
    const [server, running, waiting] = await Promise.all([
      get("/api/server", signal), get("/api/runs?state=running&limit=100", signal), get("/api/runs?state=queued&limit=100", signal),
    ]);
    about.replaceChildren(facts([
      ["Running", server.queue.running], ["Waiting", server.queue.queued], ["You are", server.caller.name],
      ["You may", server.caller.scopes.join(", ")], ["Runs of yours that may wait", server.limits.waiting], ["A run may take", span(server.limits.time_limit)],
    ]), ...(server.stopping ? [make("p", { class: "fault" }, "The server stops: what waits goes on with the next one.")] : []));
    showRuns([...running.runs, ...waiting.runs.reverse()]);
    showCallers(server.callers);
    showWorkers(server.workers);
    if (server.caller.scopes.some((one) => one === "results" || one === "admin")) showDevices(await get("/api/devices", signal), server.devices);
  }

  /** The runs; the table is made again only where it changes, so that nobody's focus is lost. */
  function showRuns(found) {
    const key = found.map((run) => `${run.id} ${run.state} ${run.ahead ?? ""}`).join();
    if (key === shownRuns) return;
    shownRuns = key;
    runs.replaceChildren(found.length
      ? table("Runs that go on or wait", ["Run", "State", "Graph", "By", "Since", ""], found.map((run) => [
        link(`runs/${run.id}`, run.title || run.graph || run.id), state(run.state), run.graph ?? "posted", run.worker ? `${run.caller}, on ${run.worker}` : run.caller, moment(run.started ?? run.submitted), cancel(run),
      ]))
      : make("p", {}, "Nothing runs and nothing waits."));
  }

  const cancel = (run) => button("Cancel", async () => {
    try {
      await post(`/api/runs/${run.id}/cancel`);
      say("The run is cancelled");
      await look();
    } catch (fault) {
      report(view, fault);
    }
  }, { class: "small", "aria-label": `Cancel ${run.title || run.id}` });

  function showCallers(found) {
    const rows = Object.entries(found).map(([name, counts]) => [name, counts.running ?? 0, counts.queued ?? 0]);
    callers.replaceChildren(...(rows.length > 1 ? [make("h2", {}, "Callers"), table("Callers", ["Caller", "Running", "Waiting"], rows)] : []));
  }

  /** Who works on what, on other machines. */
  function showWorkers(found) {
    const ended = (one) => Object.entries(one.ended).map(([how, count]) => `${count} ${how}`).join(", ") || "none";
    const rows = found.map((one) => [one.name, one.devices.join(", "), make("span", {}, ...one.runs.flatMap((id) => [link(`runs/${id}`, id), " "])), ended(one)]);
    workers.replaceChildren(...(rows.length ? [make("h2", {}, "Workers"), table("Workers on other machines", ["Worker", "Devices", "Runs now", "Ended"], rows)] : []));
  }

  function showDevices({ devices: found, loaded }, named) {
    devices.replaceChildren(make("h2", {}, "Devices"), ...(loaded ? found.map((one) => device(one, named)) : [make("p", {}, "No device is in use yet: the first run that computes takes it.")]));
  }

  const other = hasToken() ? make("div", { class: "actions" }, button("Use another token", async () => {
    forgetToken();
    await look();
  })) : null;
  add(view, make("h1", {}, "Queue"), about, runs, callers, workers, devices, other);
  await every(SECONDS, view, signal, look);
}

/** A device: what of its memory is taken, and by which weights. */
function device(one, named) {
  const precision = named.find((other) => other.name === one.device)?.precision;
  const rows = one.holdings.map((held) => [held.what, size(held.size), held.used ? "in use" : "kept"]);
  return make(
    "section", { class: "card", "aria-label": `Device ${one.device}` },
    make("h3", {}, one.device),
    one.total ? [bar(one.total - one.free, one.total, `Memory of ${one.device}`), make("p", {}, `${size(one.total - one.free)} of ${size(one.total)} in use`)] : null,
    facts([["Precision", precision], ["Weights", size(one.weights)], ["Weights may have", one.most ? size(one.most) : null]]),
    rows.length ? table(`Weights on ${one.device}`, ["Weights", "Size", "Now"], rows) : null,
  );
}
