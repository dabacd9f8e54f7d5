// Numbers, times and values as people read them.

/** Seconds as a span of time. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 0.0005) return "under 1 ms";
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes as a size. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  for (; bytes >= 1000 && index < units.length - 1; index++) bytes /= 1000;
  return `${bytes >= 100 || index === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[index]}`;
}

/** A moment, given in seconds since 1970. */
export const moment = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

/** A value of a parameter or an output as text. */
export function shown(value) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "none";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (typeof value === "object") return "value" in value ? shown(value.value) : value.text ?? json(value);
  return String(value);
}

/** JSON text; whole numbers of any size stay as they are. */
export function json(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(json).join(", ")}]`;
  if (value && typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${json(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value ?? null);
}

/** A value from JSON text; whole numbers beyond 2^53 become BigInt, so that no seed changes. */
export function fromJson(text) {
  return JSON.parse(text, (name, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context.source)
      : value);
}

/** One or many, with its number. */
export const counted = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
