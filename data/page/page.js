"use strict";
// The page for people: a household on the left, its plan on the right. A slider that is moved is a lock; every change asks the service anew.

const $ = id => document.getElementById(id);
const make = (tag, cls, text) => { const e = document.createElement(tag); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; };
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const state = { facts: null, locked: {}, plan: null, rows: {}, scales: {}, key: "", asked: 0, touched: false, changes: 0, timer: 0, cancel: null, dragging: null, user: "page-" + random(16) };

function random(n) { return Array.from(crypto.getRandomValues(new Uint8Array(n)), b => (b % 36).toString(36)).join(""); }

// ---- money and words -------------------------------------------------------------------------------------------------------------------
const currency = () => state.plan?.currency || state.facts?.markets.find(m => m.code === $("market").value)?.currency || null;
const locale = () => currency() === "INR" ? "en-IN" : "en-US";
function money(amount, digits = 0) {
  const style = currency() ? { style: "currency", currency: currency() } : {};
  return new Intl.NumberFormat(locale(), { ...style, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(amount);
}
// A range in round numbers: nobody needs to know what eight of ten months cost to the cent.
function round(amount) { const unit = amount < 20 ? 1 : amount < 200 ? 5 : 10 ** Math.max(1, Math.floor(Math.log10(amount)) - 1); return Math.round(amount / unit) * unit; }
// What a person may have typed for an amount: 1,250 or 1250.50 or $1250.
function amountIn(text) { const plain = text.replace(/[^\d.,-]/g, "").replace(/,(?=\d{2,3}(\D|$))/g, "").replace(",", "."); return /^\d+(\.\d*)?$/.test(plain) && Number(plain) <= 1e12 ? Number(plain) : null; }
const range = f => round(f.low) === round(f.high) ? `usually ${money(round(f.median))}` : `${money(round(f.low))} – ${money(round(f.high))}`;
const label = name => state.facts.categories.find(c => c.name === name)?.label || name.replaceAll("_", " ");
const essential = name => state.facts.categories.find(c => c.name === name)?.essential ?? false;
function inTen(chance) { const n = Math.round(chance * 10); return n <= 0 ? "hardly ever" : n >= 10 ? "nearly always" : `about ${n} in 10`; }
let hush; function say(text) { const e = $("live"); e.textContent = text; e.classList.add("shown"); clearTimeout(hush); hush = setTimeout(() => e.classList.remove("shown"), 2600); }

// ---- asking the service ----------------------------------------------------------------------------------------------------------------
class Refused extends Error { constructor(problem, status) { super(problem.detail || "The service cannot be reached."); this.problem = problem; this.status = status; } }
async function ask(path, { body, json, headers = {}, signal } = {}) {
  const sent = json === undefined ? body : JSON.stringify(json);
  const all = { ...headers, ...(json === undefined ? {} : { "Content-Type": "application/json" }), ...(state.key ? { Authorization: "Bearer " + state.key } : {}) };
  const answer = await fetch(path, { method: sent === undefined ? "GET" : "POST", body: sent, headers: all, signal });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(found, answer.status);
  return found;
}

// ---- the household ---------------------------------------------------------------------------------------------------------------------
const number = e => e.value.trim() === "" || Number.isNaN(e.valueAsNumber) ? undefined : e.valueAsNumber;
function household() {
  const profile = { monthly_income: number($("income")), age: number($("age")), savings_goal: $("goal").valueAsNumber / 100, risk_tolerance: document.querySelector("[name=risk]:checked").value };
  if ($("location").value.trim()) profile.location = $("location").value.trim();
  if ($("market").value) profile.market = $("market").value;
  if (number($("size")) !== undefined) profile.household_size = number($("size"));
  const expenses = [...$("expenses").children].map(li => ({ category: li.querySelector(".category").value, amount: number(li.querySelector(".value")), frequency: li.querySelector(".frequency").value })).filter(e => e.amount !== undefined);
  return { user_profile: profile, expenses, preferences: { locked: { ...state.locked } } };
}
function complete() { return $("income").checkValidity() && $("age").checkValidity() && $("size").checkValidity(); }

function addExpense({ category = "housing", amount = "", frequency = "monthly" } = {}, focus = false) {
  const li = $("expense").content.firstElementChild.cloneNode(true), [c, f] = [li.querySelector(".category"), li.querySelector(".frequency")];
  for (const { name, label } of state.facts.categories) c.append(new Option(label, name, false, name === category));
  for (const name of state.facts.frequencies) f.append(new Option({ once: "once", daily: "a day", weekly: "a week", biweekly: "every 2 weeks", monthly: "a month", quarterly: "a quarter", yearly: "a year" }[name] || name, name, false, name === frequency));
  li.querySelector(".value").value = amount;
  li.querySelector(".remove").onclick = () => { const next = li.nextElementSibling || li.previousElementSibling; li.remove(); (next?.querySelector(".remove") || $("add")).focus(); changed(); };
  $("expenses").append(li);
  if (focus) c.focus();
}

function goalText() {
  const share = $("goal").valueAsNumber;
  $("goal-text").replaceChildren(`${share} %`, make("small", "", number($("income")) ? ` · ${money(number($("income")) * share / 100)} a month` : ""));
  $("goal").setAttribute("aria-valuetext", `${share} percent of income`);
}

// ---- planning --------------------------------------------------------------------------------------------------------------------------
function changed(delay = 220) {
  state.touched = true;
  document.documentElement.dataset.changes = ++state.changes;
  $("sample").hidden = true;
  goalText();
  clearTimeout(state.timer);
  state.timer = setTimeout(plan, delay);
}

async function plan() {
  clearTimeout(state.timer);
  const settled = at => { document.documentElement.dataset.settled = at; }, changes = state.changes;
  if (!complete()) return settled(changes), warn("Please fill in income and age (18 to 100).");
  state.cancel?.abort();
  const mine = ++state.asked, cancel = state.cancel = new AbortController();
  $("plan").classList.add("busy");
  try {
    const found = await ask("api/v1/budget/optimize", { json: household(), signal: cancel.signal });
    if (mine !== state.asked) return;
    warn(null);
    show(found);
  } catch (error) {
    if (error.name === "AbortError" || mine !== state.asked) return;
    trouble(error);
  } finally { if (mine === state.asked) { $("plan").classList.remove("busy"); settled(changes); } }
}

function trouble(error) {
  const p = error.problem || {};
  $("key-form").hidden = error.status !== 401;
  if (error.status === 401) return warn(null), $("key").focus();
  if (p.shortfall !== undefined) return warn(`Your locks exceed the income by ${money(p.shortfall)}.`, "Release the last one", () => { release(Object.keys(state.locked).pop()); });
  if (error.status === 503) { warn(p.detail || "The service is busy."); state.timer = setTimeout(plan, 2500); return; }
  const places = (p.errors || []).map(e => e.detail).join(" ");
  warn(error instanceof Refused ? `${p.detail || error.message} ${places}` : "The service cannot be reached. Is it running?", error instanceof Refused ? null : "Try again", plan);
}

function warn(text, action, then) {
  const e = $("banner");
  e.replaceChildren();
  e.hidden = !text;
  if (!text) return;
  e.append(make("span", "", text));
  if (action) { const b = make("button", "", action); b.type = "button"; b.onclick = then; e.append(b); }
}

// ---- showing -----------------------------------------------------------------------------------------------------------------------------
function show(plan) {
  const before = state.plan;
  state.plan = plan;
  for (const unit of document.querySelectorAll(".unit")) unit.textContent = currency() ? new Intl.NumberFormat(locale(), { style: "currency", currency: currency() }).formatToParts(0).find(p => p.type === "currency").value : "";
  showFigures(plan);
  showSplit(plan);
  showRows(plan, before);
  showAdvice(plan);
  $("notes").replaceChildren(...plan.notes.map(n => make("p", "", n)));
  $("release").hidden = !Object.keys(state.locked).length;
  $("rating").hidden = false;
  document.documentElement.dataset.answers = String(Number(document.documentElement.dataset.answers || 0) + 1);
}

function showFigures(plan) {
  const goal = plan.savings_goal, more = plan.savings - goal;
  $("savings").replaceChildren(money(plan.savings), make("small", "", ` · ${Math.round(100 * plan.savings / plan.income)} %`));
  $("savings-note").textContent = !plan.feasible ? `${money(plan.shortfall)} short of your goal of ${money(goal)}` : more > Math.max(1, goal / 100) ? `${money(more)} beyond your goal` : `your goal of ${money(goal)}`;
  $("chance").textContent = inTen(plan.confidence_score);
  $("dots").replaceChildren(...Array.from({ length: 10 }, (_, i) => make("i", i < Math.round(plan.confidence_score * 10) ? "on" : "")));
  const price = plan.shadow_price.right ?? plan.shadow_price.left ?? 2, one = money(1);
  $("price").textContent = price.toFixed(2);
  $("needle").style.setProperty("--at", String(Math.min(100, Math.max(0, 50 * price))));
  $("price-note").textContent = `${price < .6 ? "Money is plentiful" : price < 1.05 ? "Money is tight" : "Money is scarce"}: one more ${one} would save you ${money(price, 2)} of overspending`;
}

function showSplit(plan) {
  const sums = { need: 0, want: 0, save: Math.max(0, plan.savings) };
  for (const [c, b] of Object.entries(plan.optimized_budget)) sums[essential(c) ? "need" : "want"] += b;
  const words = { need: "Needs", want: "Wants", save: "Set aside" }, kinds = Object.keys(words);
  if (!$("split").children.length) { $("split").append(...kinds.map(k => make("i", k))); }
  kinds.forEach((k, i) => $("split").children[i].style.setProperty("--share", String(100 * sums[k] / plan.income)));
  $("split").setAttribute("aria-label", "Of the income: " + kinds.map(k => `${words[k]} ${Math.round(100 * sums[k] / plan.income)} percent`).join(", "));
  $("legend").replaceChildren(...kinds.map(k => { const li = make("li"), b = make("b", "", `${Math.round(100 * sums[k] / plan.income)} %`); li.append(make("i", k), words[k] + " ", b); return li; }));
}

// The scale of a slider holds what is likely and what is planned, and changes only when it must: a thumb should not jump because of its scale.
function scaleOf(name, plan) {
  const f = plan.forecast[name], want = Math.max(f.high * 1.25, f.median * 1.8, plan.optimized_budget[name] * (name in state.locked ? 1 : 1.25), plan.income / 50), old = state.scales[name];
  if (!old || want > old || want < old / 4) { const unit = 10 ** Math.floor(Math.log10(want)) / 2; state.scales[name] = Math.ceil(want / unit) * unit; }
  return state.scales[name];
}

function showRows(plan, before) {
  const names = Object.keys(plan.optimized_budget), changes = [];
  for (const name of names) {
    const row = state.rows[name] ||= newRow(name), f = plan.forecast[name], budget = plan.optimized_budget[name], max = scaleOf(name, plan), share = v => String(Math.min(100, 100 * v / max));
    const locked = name in state.locked, slider = row.querySelector("[type=range]"), field = row.querySelector("[type=text]");
    row.classList.toggle("locked", locked);
    row.querySelector(".range").textContent = range(f);
    for (const [k, v] of Object.entries({ low: f.low, high: f.high, median: f.median })) row.querySelector(".track").style.setProperty("--" + k, share(v));
    slider.max = max; slider.step = max > 2000 ? 10 : max > 400 ? 5 : 1;
    if (state.dragging !== name) glide(slider, budget);
    if (document.activeElement !== field) field.value = money(budget);
    slider.setAttribute("aria-valuetext", `${money(budget)}${locked ? ", locked" : ""}; eight of ten months between ${range(f)}`);
    const lock = row.querySelector(".lock");
    lock.setAttribute("aria-pressed", String(locked));
    lock.setAttribute("aria-label", locked ? `Release ${label(name)}` : `Lock ${label(name)}`);
    lock.title = locked ? "Release" : "Lock";
    row.querySelector(".why").textContent = why(plan, name);
    const delta = before ? Math.round(budget) - Math.round(before.optimized_budget[name] ?? budget) : 0, mark = row.querySelector(".delta");
    mark.className = "delta" + (delta && !locked ? ` shown ${delta > 0 ? "up" : "down"}` : "");
    if (delta && !locked) { mark.textContent = (delta > 0 ? "+" : "−") + new Intl.NumberFormat(locale()).format(Math.abs(delta)); changes.push(`${label(name)} ${delta > 0 ? "up" : "down"} ${money(Math.abs(delta))}`); clearTimeout(mark.timer); mark.timer = setTimeout(() => mark.classList.remove("shown"), 2600); }
  }
  if ($("rows").children.length !== names.length) $("rows").replaceChildren(...names.map(n => state.rows[n]));
  if (changes.length && Object.keys(state.locked).length) say(changes.length > 2 ? `${changes.length} budgets make room` : changes.join(", "));
}

function why(plan, name) {
  const e = plan.explanations[name], reasons = { locked: "You set this budget.", minimum: "Your minimum holds it.", maximum: "Your maximum holds it.", "left out": "In most months nothing is needed here; let other months wait, or pay them from elsewhere.", price: "Set where one more unit is worth as much as anywhere else." };
  return `${reasons[e.reason] || ""} It holds in ${inTen(e.chance)}${/\d/.test(inTen(e.chance)) ? " months" : ""} as you live now.`;
}

function glide(slider, to) {
  const from = slider.valueAsNumber || 0;
  cancelAnimationFrame(slider.frame);
  if (calm.matches || Math.abs(from - to) < 1) { slider.value = to; return; }
  const start = performance.now(), step = now => { const t = Math.min(1, (now - start) / 280); slider.value = from + (to - from) * (1 - (1 - t) ** 3); if (t < 1) slider.frame = requestAnimationFrame(step); };
  slider.frame = requestAnimationFrame(step);
}

function newRow(name) {
  const row = $("row").content.firstElementChild.cloneNode(true), slider = row.querySelector("[type=range]"), field = row.querySelector("[type=text]");
  row.dataset.category = name;
  row.querySelector("strong").textContent = label(name);
  row.querySelector(".sr").textContent = `Budget for ${label(name)}`;
  slider.setAttribute("aria-label", label(name));
  const lock = amount => { state.locked[name] = Math.round(amount * 100) / 100; row.classList.add("locked"); };
  slider.oninput = () => { cancelAnimationFrame(slider.frame); state.dragging = name; lock(slider.valueAsNumber); field.value = money(slider.valueAsNumber); changed(120); };
  slider.onchange = () => { state.dragging = null; changed(0); };
  field.onfocus = () => { field.value = Math.round(state.plan.optimized_budget[name] * 100) / 100; field.select(); };
  field.onchange = () => { const wanted = amountIn(field.value); if (wanted !== null) { lock(wanted); changed(0); } };
  field.onblur = () => { field.value = money(state.locked[name] ?? state.plan.optimized_budget[name]); };
  field.onkeydown = e => { if (e.key === "Enter") field.blur(); };
  row.querySelector(".lock").onclick = () => name in state.locked ? release(name) : (lock(state.plan.optimized_budget[name]), changed(0));
  return row;
}

function release(name) { if (name === undefined) return; delete state.locked[name]; changed(0); }

const inRoundNumbers = text => text.replace(/([\d,]+\.\d\d)( [A-Z]{3})?/g, (_, amount) => money(Number(amount.replaceAll(",", ""))));

function showAdvice(plan) {
  const best = plan.recommendations.slice(0, 3);
  $("advice-panel").hidden = !best.length;
  $("advice").replaceChildren(...best.map(r => { const li = make("li"), p = make("p"), b = make("b", "", label(r.category)); p.append(b, ": ", inRoundNumbers(r.reason)); li.append(p, make("span", "", `about ${money(round(r.effect))} a month`)); return li; }));
  const rest = plan.recommendations.length - best.length;
  $("advice-sum").textContent = best.length ? `Keeping to all budgets${rest > 0 ? ` (${rest} smaller ones not shown)` : ""} saves about ${money(round(plan.expected_saving))} a month on average.` : "";
}

// ---- a bank file -------------------------------------------------------------------------------------------------------------------------
async function readFile(file) {
  const status = $("drop-state");
  status.textContent = `Reading ${file.name} …`;
  try {
    const found = await ask("api/v1/statements/import?filename=" + encodeURIComponent(file.name.replace(/[/\\\x00-\x1f]/g, "_").slice(-120) || "statement.csv"), { body: file, headers: { "Content-Type": "application/octet-stream" } });
    if (!found.expenses.length) { status.textContent = `${found.transactions.length} bookings found, but no spending whose category is known.`; return; }
    if (!state.touched) state.locked = {}; // the lock of the example is nobody's wish
    $("expenses").replaceChildren();
    found.expenses.forEach(e => addExpense({ ...e, amount: e.amount < 100 ? e.amount : Math.round(e.amount) }));
    status.textContent = `${found.transactions.length} bookings over ${found.months.toFixed(1)} months, as monthly averages by category.${found.skipped ? ` ${found.skipped} rows were no bookings.` : ""}`;
    changed(0);
    showFindings(await ask("api/v1/budget/analyze", { json: { transactions: found.transactions } }));
  } catch (error) {
    const p = error.problem || {};
    status.textContent = error.status === 401 ? "Please enter the key first." : [p.detail || "The file cannot be read.", ...(p.errors || []).map(e => e.detail)].join(" ");
    if (error.status === 401) trouble(error);
  }
}

function showFindings(found) {
  const text = f => f.text || f.message || f.reason || f.title, items = [...found.anomalies.slice(0, 3).map(f => [text(f), "odd"]), ...found.insights.slice(0, 4).map(f => [text(f), ""])].filter(([t]) => t);
  $("found-panel").hidden = !items.length;
  $("found").replaceChildren(...items.map(([t, cls]) => make("li", cls, t)));
}

// ---- a rating ----------------------------------------------------------------------------------------------------------------------------
async function rate(stars) {
  try {
    await ask("api/v1/feedback", { json: { user_id: state.user, rating: stars, model_id: state.plan.model_version }, headers: { "Idempotency-Key": random(24) } });
    $("rating-state").textContent = "Thank you.";
  } catch (error) { $("rating-state").textContent = error.message; }
}

// ---- beginning ---------------------------------------------------------------------------------------------------------------------------
async function begin() {
  try { state.facts = await ask("page.json"); }
  catch { return warn("The service cannot be reached. Is it running?", "Try again", begin); }
  $("market").append(...state.facts.markets.map(m => new Option(m.name, m.code)), new Option("elsewhere", ""));
  for (const e of [{ category: "housing", amount: 1350 }, { category: "food_dining", amount: 140, frequency: "weekly" }, { category: "transportation", amount: 290 }, { category: "utilities", amount: 180 }]) addExpense(e);
  state.locked = { housing: 1350 };
  for (let n = 1; n <= 5; n++) { const l = make("label"), i = make("input"); i.type = "radio"; i.name = "stars"; i.value = n; i.setAttribute("aria-label", `${n} of 5`); i.onchange = () => rate(n); l.append(i, "★"); $("stars").append(l); }
  $("home").addEventListener("input", e => { if (e.target.type !== "file") changed(); });
  $("home").onsubmit = e => { e.preventDefault(); plan(); };
  $("market").onchange = () => { state.locked = {}; state.scales = {}; };
  $("add").onclick = () => { const used = new Set([...document.querySelectorAll(".category")].map(s => s.value)); addExpense({ category: state.facts.categories.find(c => !used.has(c.name))?.name }, true); };
  $("release").onclick = () => { state.locked = {}; changed(0); };
  $("key-form").onsubmit = e => { e.preventDefault(); state.key = $("key").value.trim(); $("key").value = ""; $("key-form").hidden = true; plan(); };
  $("file").onchange = () => { if ($("file").files[0]) readFile($("file").files[0]); $("file").value = ""; };
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, e => { if ([...e.dataTransfer.types].includes("Files")) { e.preventDefault(); $("drop").classList.add("over"); } });
  for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, e => { e.preventDefault(); if (kind === "drop" || !e.relatedTarget) $("drop").classList.remove("over"); });
  document.addEventListener("drop", e => { if (e.dataTransfer.files[0]) readFile(e.dataTransfer.files[0]); });
  goalText();
  plan();
}
begin();
