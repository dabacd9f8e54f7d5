// Requests to the server. A token is in the header `Authorization`, and in this tab's sessionStorage.

import { fromJson } from "./words.js";

const KEPT = "weft-token";

/** A refusal of the server, or that it does not answer. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "", hint = "", problems = [] } = {}) {
    super(message);
    Object.assign(this, { status, code, hint, problems });
  }
}

/** The headers that say who calls. */
function authorization() {
  const token = sessionStorage.getItem(KEPT);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Whether this tab has a token: then pictures are fetched with it, which elements cannot do by themselves. */
export const hasToken = () => sessionStorage.getItem(KEPT) !== null;

let asking = null;

/** Ask for a token, once for all who wait. */
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("sign-in");
    document.getElementById("sign-in-fault").hidden = !hasToken();
    const field = document.getElementById("token");
    dialog.addEventListener("close", () => {
      if (field.value.trim()) sessionStorage.setItem(KEPT, field.value.trim());
      field.value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

async function problemOf(answer) {
  try {
    const found = await answer.json();
    return new Problem(found.title ?? answer.statusText, { ...found, status: answer.status });
  } catch {
    return new Problem(`the server answered ${answer.status} ${answer.statusText}`, { status: answer.status });
  }
}

/** The answer to a request. */
export async function call(path, options = {}) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...options.headers, ...authorization() } });
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      throw new Problem("the server does not answer", { hint: "look whether it runs, then try again" });
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) throw await problemOf(answer);
    await askForToken();
  }
}

/** Ask for another token with the next request. */
export const forgetToken = () => sessionStorage.removeItem(KEPT);

/** What a path answers, as values. */
export const get = async (path, signal) => fromJson(await (await call(path, { signal })).text());

/** What it answers when it is sent JSON. */
export async function post(path, body = "", headers = {}, signal = undefined) {
  const sent = body === "" ? {} : { "content-type": "application/json" };
  const answer = await call(path, { method: "POST", body: body || undefined, headers: { ...sent, ...headers }, signal });
  return fromJson(await answer.text());
}

/** Keep a file on the server, for graphs to name. */
export async function sendFile(file) {
  const headers = { "content-type": file.type || "application/octet-stream" };
  return (await call("/api/files", { method: "POST", body: file, headers })).json();
}

/** A part of a path, where slashes within names stay. */
export const part = (name) => name.split("/").map(encodeURIComponent).join("/");

/** A name for a request, so that one sent twice runs once. */
export function requestKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}

/** The events of a run, from its first to `ended`; goes on by itself where the connection breaks. */
export async function* follow(run, signal) {
  let after = 0;
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    try {
      for await (const [number, event] of eventsOf(run, after, signal)) {
        if (event.event === "server_stopping") break;
        after = number;
        pause = 500;
        yield event;
        if (event.event === "ended") return;
      }
    } catch (fault) {
      if (signal.aborted) return;
      if (fault instanceof Problem && fault.status && fault.status < 500) throw fault;
    }
    yield { event: "connection_lost" };
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (signal.aborted) return;
  }
}

async function* eventsOf(run, after, signal) {
  const headers = after ? { "last-event-id": String(after) } : {};
  const answer = await call(`/api/runs/${run}/events?previews=1`, { headers, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const fields of blocks.map(fieldsOf)) {
        if (fields.has("data")) yield [Number(fields.get("id")), fromJson(fields.get("data"))];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The fields of a server-sent event, each on a line. */
const fieldsOf = (block) =>
  new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
