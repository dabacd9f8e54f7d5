// A form made from the JSON Schema of a graph's parameters. Each field gives its value as JSON text, so numbers of any
// size stay as they were typed.

import { sendFile } from "./api.js";
import { make, report, say } from "./elements.js";
import { fromJson, json, shown } from "./words.js";

const LARGE = 1e9;
const FILE = "x-weft-file";

/** The form: its fields in order, what they say, and whether they are the defaults. */
export function makeForm(schema, values = {}) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([name, one]) =>
    makeField(name, one, required.has(name), name in values ? values[name] : one.default));
  return {
    elements: fields.map((field) => field.element),
    /** The JSON object of all values. */
    body: () => `{${fields.map((field) => `${JSON.stringify(field.name)}: ${field.text()}`).join(", ")}}`,
    /** The names of fields whose values are others than at first. */
    changed: () => fields.filter((field) => field.isChanged()).map((field) => field.name),
  };
}

/** One field: a label, something to type in or choose from, and what is known of it. */
function makeField(name, schema, required, value) {
  const kind = kindOf(schema);
  const help = make("p", { class: "help", id: `help-${name}` }, helpText(schema, kind));
  const properties = { id: `field-${name}`, required, "aria-describedby": `help-${name}` };
  const first = Array.isArray(value) && kind.single && kind.many ? manyLines(kind, properties, value) : single(name, kind, properties, value, help);
  let widget = first;
  const element = make("div", { class: `field ${first.class ?? ""}` });
  const label = make("label", { for: properties.id }, name.replaceAll("_", " "), required ? make("span", { class: "hint" }, " required") : null);
  const place = make("div", { class: "entry" }, widget.element);
  const own = make("span", { class: "tools" }, first.tools ?? null);
  const tools = make("div", { class: "tools" }, own);
  if (kind.single && kind.many) tools.append(severalButton(name, Array.isArray(value), (several) => {
    const now = fromJson(safely(text) ?? "[]");
    widget = several ? manyLines(kind, properties, [now].flat()) : single(name, kind, properties, [now].flat()[0], help);
    own.replaceChildren(...[widget.tools ?? []].flat());
    place.replaceChildren(widget.element);
    widget.element.focus();
  }));
  element.append(label, place, tools, help);
  const text = () => {
    try {
      return widget.text();
    } catch (fault) {
      fault.message = `${name}: ${fault.message}`;
      throw fault;
    }
  };
  const before = safely(text);
  return { name, element, text, isChanged: () => safely(text) !== before };
}

/** What a field says, or null where it says nothing yet. */
function safely(text) {
  try {
    return text();
  } catch {
    return null;
  }
}

/** What a schema takes: one value by `single`, several where `many`, none where `empty`. */
function kindOf(schema) {
  const branches = flat(schema);
  const single = branches.find((one) => one.type !== "null" && one.type !== "array" && one.type !== "object");
  const many = branches.find((one) => one.type === "array");
  const file = schema[FILE];
  return { single: single && { ...single, [FILE]: file }, many, empty: branches.some((one) => one.type === "null") };
}

const flat = (schema) => (schema.anyOf ? schema.anyOf.flatMap(flat) : [schema]);

/** What a person has to know of a field. */
function helpText(schema, kind) {
  const { minimum, maximum } = { ...kind.single, ...schema };
  const low = minimum === undefined || Number(minimum) <= -LARGE ? "" : `from ${minimum}`;
  const high = maximum === undefined || Number(maximum) >= LARGE ? "" : `to ${maximum}`;
  const steps = (kind.single ?? {}).multipleOf ? `a multiple of ${kind.single.multipleOf}` : "";
  const empty = kind.empty ? "may be left empty" : "";
  const bounds = [[low, high].filter(Boolean).join(" "), steps, empty].filter(Boolean).join(", ");
  const described = (schema.description ?? "").trim();
  return [described && (/[.!?]$/.test(described) ? described : `${described}.`), bounds && `${bounds[0].toUpperCase()}${bounds.slice(1)}.`].filter(Boolean).join(" ");
}

/** A button for parameters that take one value or several. */
function severalButton(name, pressed, change) {
  const made = make("button", { type: "button", class: "small", "aria-pressed": String(pressed), "aria-label": `Several values of ${name}` }, "several");
  made.addEventListener("click", () => {
    const several = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-pressed", String(several));
    change(several);
  });
  return made;
}

/** What takes one value of a kind. */
function single(name, kind, properties, value, help) {
  const schema = kind.single;
  if (!schema) return kind.many?.items?.type === "string" ? manyLines(kind, properties, value) : anyJson(properties, value);
  if (schema.enum) return choice(schema, kind, properties, value, help);
  if (schema.type === "boolean") return tick(properties, value);
  if (schema.type === "integer" || schema.type === "number") return numeric(name, schema, kind, properties, value);
  if (schema.type === "string") return schema[FILE] ? path(schema[FILE], kind, properties, value) : words(name, kind, properties, value);
  return anyJson(properties, value);
}

function choice(schema, kind, properties, value, help) {
  const choices = kind.empty ? [...schema.enum, null] : schema.enum;
  const options = choices.map((one, index) => make("option", { value: index, selected: json(one) === json(value ?? null) }, shown(one)));
  const element = make("select", properties, value === undefined ? make("option", { value: "" }, "choose") : null, options);
  const about = make("span", { class: "hint" });
  const tell = () => { about.textContent = schema.enumDescriptions?.[Number(element.value)] ?? ""; };
  element.addEventListener("change", tell);
  tell();
  help.querySelector(".hint")?.remove();
  if (schema.enumDescriptions) help.append(about);
  return { element, text: () => json(choices[Number(element.value)]) };
}

function tick(properties, value) {
  const element = make("input", { ...properties, required: false, type: "checkbox", checked: value === true });
  return { element, class: "ticked", text: () => String(element.checked) };
}

function numeric(name, schema, kind, properties, value) {
  const whole = schema.type === "integer";
  const bounds = { min: schema.minimum, max: schema.maximum, step: schema.multipleOf ?? (whole ? 1 : "any") };
  const element = make("input", { ...properties, ...bounds, type: "number", inputmode: whole ? "numeric" : "decimal", value: value === undefined || value === null ? "" : String(value) });
  const roll = () => {
    element.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    say(`${name} is ${element.value}`);
  };
  const dice = make("button", { type: "button", class: "small", "aria-label": `Another ${name} by chance`, on: { click: roll } }, "by chance");
  return { element, tools: /seed/.test(name) ? dice : null, text: () => numberText(element.value, whole, kind) };
}

/** A number as JSON has it. */
function numberText(typed, whole, kind) {
  const text = typed.trim();
  if (text === "" && kind.empty) return "null";
  if (!(whole ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i).test(text)) throw new Error(`expected a ${whole ? "whole number" : "number"}, found "${text}"`);
  return whole ? BigInt(text).toString() : JSON.stringify(Number(text));
}

function words(name, kind, properties, value) {
  const long = typeof value !== "string" || value.length > 30 || /prompt|text|negative|caption|words/.test(name);
  const given = { ...properties, required: false, spellcheck: "false" };
  const element = long ? make("textarea", { ...given, rows: 2 }, value ?? "") : make("input", { ...given, type: "text", value: value ?? "" });
  return { element, class: long ? "long" : "", text: () => (element.value === "" && kind.empty ? "null" : JSON.stringify(element.value)) };
}

/** A field for a file or a model: its name, and a file of this machine that is sent. */
function path(taken, kind, properties, value) {
  const field = make("input", { ...properties, type: "text", spellcheck: "false", value: value ?? "" });
  const found = { element: field, class: "long", text: () => (field.value === "" && kind.empty ? "null" : JSON.stringify(field.value)) };
  if (!taken.suffixes.length) return found;
  const chosen = make("input", { type: "file", accept: taken.suffixes.join(","), class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  const send = make("button", { type: "button", class: "small", on: { click: () => chosen.click() } }, "send a file");
  chosen.addEventListener("change", async () => {
    if (!chosen.files.length) return;
    send.disabled = true;
    try {
      const kept = await sendFile(chosen.files[0]);
      field.value = kept.name;
      say(`${chosen.files[0].name} was sent`);
    } catch (fault) {
      report(field.closest("form"), fault);
    } finally {
      send.disabled = false;
      chosen.value = "";
    }
  });
  return { ...found, tools: [send, chosen] };
}

/** One value on each line. */
function manyLines(kind, properties, value) {
  const items = kind.many.items ?? {};
  const scalar = flat(items).find((one) => one.type !== "null" && one.type !== "array") ?? {};
  const text = Array.isArray(value) ? value.map(shown).join("\n") : "";
  const element = make("textarea", { ...properties, rows: 3, spellcheck: "false", placeholder: "one on each line" }, text);
  const read = (line) => (scalar.type === "integer" || scalar.type === "number" ? numberText(line, scalar.type === "integer", {}) : JSON.stringify(line));
  const lines = () => element.value.split("\n").filter((line) => line.trim() !== "");
  const written = () => (kind.empty && lines().length === 0 ? "null" : `[${lines().map(read).join(", ")}]`);
  return { element, class: "long", text: written };
}

/** Any value, as JSON. */
function anyJson(properties, value) {
  const element = make("textarea", { ...properties, rows: 3, spellcheck: "false" }, value === undefined ? "" : json(value));
  const text = () => {
    JSON.parse(element.value);
    return element.value;
  };
  return { element, class: "long", text };
}
