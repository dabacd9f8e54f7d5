// Jobs as they go: progress, failures, pictures, logs; they are paused, resumed, cancelled, tried again.

import { get, part, post } from "./api.js";
import { add, bar, button, facts, link, make, say, state, table } from "./elements.js";
import { fileBox, isSeen, picture, typeOf } from "./media.js";
import { every } from "./polling.js";
import { counted, shown, span } from "./words.js";

const SECONDS = 2;
const MOST_ROWS = 500;
const PICTURES = 96;

/** Every job with its progress. */
export async function showJobs(view, { signal }) {
  const list = make("ul", { class: "cards" });
  add(view, make("h1", {}, "Jobs"));
  const cards = new Map();
  const look = async () => {
    const { jobs } = await get("/api/jobs", signal);
    if (!jobs.length) list.replaceChildren(make("li", {}, "This server shows no jobs: name their folder with --jobs."));
    for (const job of jobs) {
      if (!cards.has(job.name)) {
        cards.set(job.name, make("div", {}));
        list.append(make("li", { class: "card" }, make("h2", {}, link(`jobs/${part(job.name)}`, job.title || job.name)), cards.get(job.name)));
      }
      cards.get(job.name).replaceChildren(...progress(job));
    }
  };
  add(view, list);
  await every(SECONDS, view, signal, look);
}

/** How a job goes, in a bar and in words. */
function progress(job) {
  if (job.state === "unreadable") return [state(job.state), make("p", {}, job.cause)];
  const counts = Object.entries(job.counts).filter(([, number]) => number).map(([name, number]) => `${number} ${name}`);
  const pace = [job.rate ? `${Number(job.rate.toPrecision(2))} a second` : "", job.left ? `about ${span(job.left)} left` : ""].filter(Boolean);
  return [
    make("p", { class: "line" }, state(job.state), ` ${job.ended} of ${job.total}`),
    bar(job.ended, job.total, `${job.ended} of ${job.total} items have ended`),
    make("p", { class: "hint" }, [...counts, ...pace].join(", ")),
    job.cause ? make("p", { class: "fault" }, job.cause) : null,
  ].filter(Boolean);
}

const ACTIONS = { pause: ["running"], resume: ["paused", "cancelled", "stopped"], cancel: ["running", "paused"], retry: [] };
const WORDS = { pause: "Pause", resume: "Resume", cancel: "Cancel what waits", retry: "Try failed items again" };

/** One job: its progress, what can be done with it, its pictures, its items. */
export async function showJob(view, { name, signal }) {
  const { caller } = await get("/api/server", signal);
  const head = make("div", {});
  const actions = make("div", { class: "actions" });
  const faults = make("section", {});
  const pictures = make("ul", { class: "cards results small" });
  const none = make("p", {}, "Nothing is published yet.");
  const more = button("More", () => showPublished(pictures.children.length + PICTURES), { hidden: true });
  const items = make("section", {});
  const only = make("select", { id: "only" }, ["all", "done", "failed", "leased", "waiting", "cancelled"].map((one) => make("option", {}, one)));
  const rows = new Map();
  let job = null;
  let ended = -1;

  async function look() {
    job = await ask();
    head.replaceChildren(...progress(job), ...workers(job));
    offer();
    faults.replaceChildren(...failures(job));
    showItems();
    if (job.ended !== ended) await showPublished();
    if (ended >= 0 && job.ended !== ended && job.ended === job.total) say(`The job has ended: ${counted(job.total, "item")}`);
    ended = job.ended;
  }

  /** The job with the items that are shown. */
  function ask() {
    const asked = new URLSearchParams({ state: only.value === "all" ? "" : only.value, limit: MOST_ROWS });
    return get(`/api/jobs/${part(name)}?${asked}`, signal);
  }

  /** Buttons for what can be done now; they stay in their place while that is the same. */
  function offer() {
    const failed = (job.counts?.failed ?? 0) > 0;
    const wanted = caller.scopes.includes("admin") ? Object.keys(ACTIONS).filter((one) => (one === "retry" ? failed : ACTIONS[one].includes(job.state))) : [];
    if (actions.dataset.shown === wanted.join()) return;
    actions.dataset.shown = wanted.join();
    const focused = actions.contains(document.activeElement);
    actions.replaceChildren(...wanted.map((one) => button(WORDS[one], async () => {
      await post(`/api/jobs/${part(name)}/${one}`);
      await look();
      say(`The job is ${job.state}`);
    }, { id: one })));
    if (focused) actions.querySelector("button")?.focus();
  }

  /** What is published, the first so many, in the order of the job. */
  async function showPublished(most = Math.max(PICTURES, pictures.children.length)) {
    const { items: published, listed } = await get(`/api/jobs/${part(name)}/published?limit=${most}`, signal);
    none.hidden = listed > 0;
    more.hidden = listed <= published.length;
    for (const item of published) if (!rows.has(item.id)) rows.set(item.id, pictureOf(item));
    const wanted = published.map((item) => rows.get(item.id));
    if (wanted.length !== pictures.children.length || wanted.some((one, index) => one !== pictures.children[index])) {
      const focused = document.activeElement;
      pictures.replaceChildren(...wanted);
      if (pictures.contains(focused)) focused.focus();
    }
  }

  function pictureOf(item) {
    const file = item.files.find((one) => isSeen(one) && typeOf(one).startsWith("image/"));
    return make("li", { class: "card" }, file ? picture(file.url, "") : null, make("h3", {}, link(`jobs/${part(name)}/${item.number}`, item.name)), make("p", { class: "hint" }, settings(item)));
  }

  function showItems() {
    const key = JSON.stringify([job.listed, job.items]);
    if (items.dataset.key === key) return;
    items.dataset.key = key;
    const cells = job.items.map((item) => [link(`jobs/${part(name)}/${item.number}`, item.name), state(item.state), settings(item), item.attempt, span(item.seconds || null), item.error]);
    const rest = job.listed > job.items.length ? make("p", { class: "hint" }, `The first ${job.items.length} of ${job.listed} are shown.`) : null;
    const focused = items.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    items.replaceChildren(...[table("Items of the job", ["Item", "State", "Settings", "Attempts", "Time", "Error"], cells), rest].filter(Boolean));
    if (focused) items.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  only.addEventListener("change", async () => {
    job = await ask();
    showItems();
  });
  job = await ask();
  add(
    view,
    make("h1", {}, job.title || job.name),
    head, actions, faults,
    make("h2", {}, "Pictures"), none, pictures, more,
    make("h2", {}, "Items"), make("div", { class: "field narrow" }, make("label", { for: "only" }, "state"), only), items,
  );
  await every(SECONDS, view, signal, look);
}

const settings = (item) => Object.entries(item.settings ?? {}).map(([name, value]) => `${name} ${shown(value)}`).join(", ");

function workers(job) {
  const rows = Object.entries(job.workers ?? {}).map(([name, item]) => [`Worker ${name}`, job.working?.[name] ?? item]);
  const apart = (job.quarantined ?? []).map((name) => [`Worker ${name}`, "gets no items: it failed where others succeed"]);
  return [facts([...rows, ...apart])];
}

function failures(job) {
  if (!job.failures?.length) return [];
  const rows = job.failures.slice(0, 20).map(([number, item, error]) => [link(`jobs/${part(job.name)}/${number}`, item), error]);
  return [make("h2", {}, counted(job.failures.length, "failure")), table("Failures", ["Item", "Error"], rows)];
}

/** One item of a job: its files, settings, outputs, and the logs of its attempts. */
export async function showItem(view, { name, number, signal }) {
  const [{ title, item, published: result }, { attempts }] = await Promise.all([
    get(`/api/jobs/${part(name)}/items/${number}`, signal),
    get(`/api/jobs/${part(name)}/logs/${number}`, signal),
  ]);
  const outputs = Object.entries(result?.outputs ?? {}).map(([key, value]) => [key, shown(value)]);
  const given = Object.entries(item.settings).map(([key, value]) => [key, shown(value)]);
  add(
    view,
    make("h1", {}, item.name),
    make("p", {}, state(item.state), " an item of ", link(`jobs/${part(name)}`, title || name), item.seconds ? `, ${span(item.seconds)}` : null),
    item.error ? make("p", { class: "fault" }, item.error) : null,
    result ? make("div", { class: "actions" }, make("a", { class: "button", href: `#/again/jobs/${part(name)}/${number}` }, "Run again with a change")) : null,
    make("div", { class: "pictures" }, (result?.files ?? []).map((file) => fileBox(file, item.name))),
    given.length ? [make("h2", {}, "Settings"), table("Settings", ["Name", "Value"], given)] : null,
    outputs.length ? [make("h2", {}, "Outputs"), table("Outputs", ["Name", "Value"], outputs)] : null,
    make("h2", {}, "Logs"),
    attempts.length ? attempts.map((text, index) => make("details", {}, make("summary", {}, `Attempt ${index + 1}`), make("pre", { tabindex: "0" }, text))) : make("p", {}, "There is no log yet."),
  );
}
