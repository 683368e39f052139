"use strict";
// Draws /openapi.json: every route with what goes in, what comes out, and a button that tries it.

const make = (tag, cls, ...inside) => { const e = document.createElement(tag); if (cls) e.className = cls; e.append(...inside); return e; };
let doc;

const follow = schema => schema?.$ref ? doc.components.schemas[schema.$ref.split("/").pop()] : schema;
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.length > 6 ? `one of ${schema.enum.length} names` : schema.enum.map(v => JSON.stringify(v)).join(", ");
  if (schema.type === "array") return `list of ${kind(schema.items) || "values"}`;
  if (schema.type === "object" && schema.additionalProperties?.type) return `table of ${kind(schema.additionalProperties)}s`;
  return (schema.type || "any") + (schema.format && schema.format !== "binary" ? ` (${schema.format})` : "");
}

function fields(schema, seen = []) {
  const found = follow(schema);
  if (found?.type === "array") return fields(found.items, seen);
  if (!found?.properties) return null;
  const rows = Object.entries(found.properties).map(([name, s]) => {
    const row = make("tr", "", make("th", "", name, found.required?.includes(name) ? make("sup", "", "*") : ""), make("td", "kind", kind(s)), make("td", "", s.description || ""));
    const inner = [s, ...(s.anyOf || []), s.items, s.additionalProperties].find(x => x?.$ref), key = inner?.$ref;
    if (key && !seen.includes(key)) { const more = fields(inner, [...seen, key]); if (more) row.lastChild.append(make("details", "", make("summary", "", kind(inner)), more)); }
    return row;
  });
  return make("div", "wide-table", make("table", "fields-table", make("tbody", "", ...rows)));
}

function route(path, method, op) {
  const body = op.requestBody?.content?.["application/json"], examples = Object.entries(body?.examples || {});
  const box = make("article", "panel route"), head = make("h3", "", make("span", "method " + method, method.toUpperCase()), " ", make("code", "", path));
  box.id = `${method}-${path.replace(/\W+/g, "-")}`;
  box.append(head, make("p", "", op.summary ? make("b", "", op.summary + ". ") : "", op.description || ""));
  for (const p of op.parameters || []) box.append(make("p", "hint", make("code", "", p.name), ` (${p.in}${p.required ? "" : ", optional"}): ${p.description || ""}`));
  const answers = Object.entries(op.responses), good = answers.find(([s]) => s < 300), answerSchema = good?.[1].content?.["application/json"]?.schema;
  if (body) box.append(make("details", "", make("summary", "", `What goes in: ${kind(body.schema)}`), fields(body.schema) || ""));
  if (answerSchema && fields(answerSchema)) box.append(make("details", "", make("summary", "", `What comes out: ${kind(answerSchema)}`), fields(answerSchema)));
  box.append(make("details", "", make("summary", "", "What may go wrong"), make("ul", "statuses", ...answers.filter(([s]) => s >= 400).map(([s, r]) => make("li", "", make("b", "", s), " " + r.description)))));
  const needsFile = op.requestBody && !body, needsName = path.includes("{");
  if (!needsFile && !needsName && method !== "delete") box.append(attempt(path, method, examples));
  return box;
}

function attempt(path, method, examples) {
  const box = make("details", "try", make("summary", "", "Try it")), out = make("pre", "answer"), send = make("button", "quiet", "Send"), field = examples.length ? make("textarea", "code") : null;
  out.hidden = true; out.tabIndex = 0; send.type = "button";
  if (field) {
    field.value = JSON.stringify(examples[0][1].value, null, 1); field.rows = Math.min(18, field.value.split("\n").length); field.spellcheck = false; field.setAttribute("aria-label", "Body");
    const choice = make("select", ""); choice.setAttribute("aria-label", "Example");
    examples.forEach(([name, e]) => choice.append(new Option(e.summary || name, name)));
    choice.onchange = () => { field.value = JSON.stringify(examples.find(([n]) => n === choice.value)[1].value, null, 1); };
    box.append(choice, field);
  }
  send.onclick = async () => {
    const key = document.getElementById("key").value.trim(), started = performance.now();
    out.hidden = false; out.textContent = "…";
    try {
      const answer = await fetch("." + path, { method: method.toUpperCase(), body: field?.value, headers: { ...(field ? { "Content-Type": "application/json" } : {}), ...(key ? { Authorization: "Bearer " + key } : {}) } });
      const text = await answer.text(), ms = Math.round(performance.now() - started);
      let shown = text; try { shown = JSON.stringify(JSON.parse(text), null, 1); } catch { /* not JSON */ }
      out.textContent = `${answer.status} ${answer.statusText}, ${ms} ms\n\n${shown}`;
    } catch (error) { out.textContent = "No answer: " + error.message; }
  };
  box.append(send, out);
  return box;
}

async function begin() {
  doc = await (await fetch("openapi.json")).json();
  document.getElementById("title").textContent = `${doc.info.title} ${doc.info.version}`;
  document.getElementById("about").textContent = doc.info.description;
  const words = { budget: "Budgets", spending: "Spending", feedback: "Feedback", model: "The model", watching: "For machines that watch" }, place = document.getElementById("routes");
  for (const [tag, name] of Object.entries(words)) {
    place.append(make("h2", "", name));
    for (const [path, methods] of Object.entries(doc.paths)) for (const [method, op] of Object.entries(methods)) if (op.tags?.[0] === tag) place.append(route(path, method, op));
  }
  document.documentElement.dataset.routes = document.querySelectorAll(".route").length;
}
begin();
