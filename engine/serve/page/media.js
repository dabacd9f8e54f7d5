// Files as they are looked at: pictures, clips and sounds in their place, others to be saved.

import { call, hasToken } from "./api.js";
import { make } from "./elements.js";
import { size } from "./words.js";

/** Give an element the content of a path; with a token it is fetched, since elements send none. */
function load(element, path) {
  if (!hasToken()) {
    element.src = path;
    return;
  }
  const seen = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    const content = await call(path).then((answer) => answer.blob()).catch(() => null);
    if (!content) return;
    const held = URL.createObjectURL(content);
    for (const event of ["load", "loadeddata", "error"]) element.addEventListener(event, () => release(element, held), { once: true });
    element.src = held;
  });
  seen.observe(element);
}

/** Pictures hold what they show; clips and sounds read on. */
function release(element, held) {
  if (element.tagName === "IMG") URL.revokeObjectURL(held);
}

/** A picture of a path. */
export function picture(path, alt, properties = {}) {
  const made = make("img", { alt, loading: "lazy", decoding: "async", ...properties });
  load(made, path);
  return made;
}

/** Whether a file is looked at in its place. */
export const isSeen = (file) => /^(image|video)\//.test(typeOf(file));

/** The media type of a file; those of jobs are known by their endings. */
export function typeOf(file) {
  if (file.media_type) return file.media_type;
  const ending = (file.name ?? file.path ?? "").split(".").pop().toLowerCase();
  const known = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", webp: "image/webp", gif: "image/gif", svg: "image/svg+xml", mp4: "video/mp4", webm: "video/webm", wav: "audio/wav", flac: "audio/flac" };
  return known[ending] ?? "application/octet-stream";
}

/** A file, with its name and size below. */
export function fileBox(file, alt) {
  const name = file.name ?? file.path;
  const type = typeOf(file);
  const saved = make("a", { href: file.url, download: name.split("/").pop(), on: hasToken() ? { click: save } : {} }, name);
  const caption = make("figcaption", {}, saved, file.bytes ? ` ${size(file.bytes)}` : null);
  if (type.startsWith("image/")) return make("figure", {}, picture(file.url, alt ?? name), caption);
  if (/^(video|audio)\//.test(type)) {
    const player = make(type.split("/")[0], { controls: true, loop: type.startsWith("video/"), "aria-label": alt ?? name });
    load(player, file.url);
    return make("figure", {}, player, caption);
  }
  return make("figure", { class: "plain" }, caption);
}

/** Save a file that needs the token. */
async function save(event) {
  event.preventDefault();
  const anchor = event.currentTarget;
  const held = URL.createObjectURL(await (await call(anchor.getAttribute("href"))).blob());
  make("a", { href: held, download: anchor.download }).click();
  setTimeout(() => URL.revokeObjectURL(held), 10000);
}
