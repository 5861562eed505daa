--- script.lua
-- What the sandbox's page does: asks for news, lists them, opens one, sets faults.
-- Does not know what makes an event valid; all that arrived is shown as text, never as markup.
-- SPDX-License-Identifier: MIT

return [==[
"use strict";
(() => {
const KEPT = 2000;        // rows in the page's memory; the server has more
const EACH = 100;         // rows taken at a time, of however many came
const ROW = 26;           // pixels, as in the style
const PACE = 500, HIDDEN_PACE = 3000, RETRY = 1000, PATIENCE = 5000; // ms
const MINUTES = 30;

const $ = id => document.getElementById(id);
const list = $("list"), rows = $("rows"), detail = $("detail"), body = $("body");
const number = new Intl.NumberFormat("en").format;

let items = [];           // the oldest first
let run = "", since = 0, sinceCall = 0, epoch = 0, fresh = true;
let paused = false, lost = false, timer = 0, asking = null;
let chosen = null;        // key of the chosen row
let opened = null;        // the row in the panel
let asSent = false, answer = null;
let last = null, rate = 0;

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Writes only what changed: reading screens and the browser's layout both pay for each write.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function clock(at) {
  const time = new Date(at), two = n => String(n).padStart(2, "0");
  return two(time.getHours()) + ":" + two(time.getMinutes()) + ":" + two(time.getSeconds()) +
    "." + String(time.getMilliseconds()).padStart(3, "0");
}

// ---- the list: only what can be seen stands in the document ----

const keyOf = item => item.call ? "c" + item.call : "e" + item.n;
const at = index => items[items.length - 1 - index];
const indexOf = key => {
  for (let i = items.length - 1; i >= 0; i--) {
    if (keyOf(items[i]) === key) return items.length - 1 - i;
  }
  return -1;
};

const filtering = () => $("code").value.trim() || $("customer").value.trim() ||
  $("validity").value;

function makeRow() {
  const row = make("div", "row");
  row.setAttribute("role", "option");
  for (const name of ["time", "mark", "code", "who", "why"]) {
    row[name] = row.appendChild(make("span", name));
  }
  row.addEventListener("click", () => choose(row.key, true));
  return row;
}

function whyOf(item) {
  if (item.call) {
    const told = item.error || (item.outcome === "faulted" ? "changed by a fault" : "");
    return "whole call, " + item.events + " events, " +
      (item.status === "closed" ? "connection closed" : "answered " + item.status) +
      (told ? ": " + told : "");
  }
  if (!item.error) return "";
  return item.error.replace(/^\[\d+\]\.?/, "") + (item.more ? " (and " + item.more + " more)" : "");
}

function drawRow(row, item, index) {
  const bad = item.call ? true : !item.ok;
  row.key = keyOf(item);
  row.id = "row-" + row.key;
  row.style.top = index * ROW + "px";
  row.className = bad ? "row bad" : "row";
  put(row.time, clock(item.at));
  put(row.mark, bad ? "✗" : "✓");
  row.mark.setAttribute("aria-label", bad ? "refused" : "valid");
  put(row.code, item.code === null ? "(no event code)" : item.code);
  put(row.who, item.call ? "" : item.customer === null ? "(no customer id)" : item.customer);
  put(row.why, whyOf(item));
  row.setAttribute("aria-selected", String(row.key === chosen));
  row.setAttribute("aria-setsize", String(items.length));
  row.setAttribute("aria-posinset", String(index + 1));
}

function draw() {
  rows.style.height = items.length * ROW + "px";
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const count = Math.min(items.length - first, Math.ceil(list.clientHeight / ROW) + 8);
  while (rows.children.length < count) rows.appendChild(makeRow());
  while (rows.children.length > Math.max(count, 0)) rows.lastChild.remove();
  for (let i = 0; i < count; i++) drawRow(rows.children[i], at(first + i), first + i);
  if (chosen && $("row-" + chosen)) list.setAttribute("aria-activedescendant", "row-" + chosen);
  else list.removeAttribute("aria-activedescendant");
  $("empty").hidden = Boolean(items.length || lost || filtering());
  $("none").hidden = Boolean(items.length || lost || !filtering());
}

function add(news) {
  if (!news.length) return;
  // Who reads further down, or has chosen a row, keeps it under the eyes.
  const stay = list.scrollTop > ROW / 2 || chosen !== null;
  items = items.concat(news);
  if (items.length > KEPT) items = items.slice(-KEPT);
  rows.style.height = items.length * ROW + "px";
  if (stay) list.scrollTop += news.length * ROW;
}

function choose(key, open) {
  chosen = key;
  const index = indexOf(key);
  if (index >= 0) {
    const top = index * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    const under = top + ROW - list.clientHeight;
    if (under > list.scrollTop) list.scrollTop = under;
    if (open || opened) show(at(index));
  }
  draw();
}

function step(by) {
  if (!items.length) return;
  const from = indexOf(chosen);
  const to = from < 0 ? Math.floor(list.scrollTop / ROW) : from + by;
  choose(keyOf(at(Math.max(0, Math.min(items.length - 1, to)))), false);
}

// ---- one event in full ----

// The event's own text in lines: each piece stands as it came, only the blanks between are ours.
function layOut(text, bad) {
  const pre = make("pre"), stack = [];
  let line = null, expectKey = false;
  const top = () => stack[stack.length - 1];
  function begin(path) {
    line = pre.appendChild(make("span", bad.has(path) ? "line bad" : "line"));
    line.append("  ".repeat(stack.length));
  }
  function value() {
    const frame = top();
    if (frame && frame.list && !frame.begun) {
      frame.begun = true;
      frame.now = frame.path + "[" + frame.index + "]";
      begin(frame.now);
    } else if (!line) begin("");
    return frame ? frame.now : "";
  }
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+/g)) {
    if (token === "{" || token === "[") {
      const path = value();
      line.append(token);
      stack.push({ list: token === "[", path, now: path, index: 0, begun: false, lines: 0 });
      expectKey = token === "{";
    } else if (token === "}" || token === "]") {
      const frame = stack.pop();
      if (frame && frame.begun) begin("\0");
      if (line) line.append(token);
      expectKey = false;
    } else if (token === ",") {
      if (line) line.append(",");
      const frame = top();
      if (frame) { frame.index++; frame.begun = false; expectKey = !frame.list; }
    } else if (token === ":") {
      line.append(": ");
      expectKey = false;
    } else if (expectKey && top()) {
      const frame = top();
      let name = token;
      try { name = JSON.parse(token); } catch { /* shown as it came */ }
      frame.now = frame.path ? frame.path + "." + name : name;
      frame.begun = true;
      begin(frame.now);
      line.append(make("span", "name", token));
    } else {
      value();
      line.append(make("span", token[0] === '"' ? "text" : "plain", token));
    }
    // Closing a frame leaves the one around it begun: a bracket goes onto a line of its own.
    if ((token === "}" || token === "]") && top()) top().begun = true;
  }
  return pre;
}

function table(pairs) {
  const whole = make("table");
  for (const [name, value] of pairs) {
    if (value === undefined || value === null) continue;
    const row = whole.appendChild(make("tr"));
    row.appendChild(make("th", "", name)).scope = "row";
    row.appendChild(make("td", "", String(value)));
  }
  return whole;
}

function errorList(errors) {
  const whole = make("ul");
  for (const error of errors) {
    const entry = whole.appendChild(make("li"));
    entry.append(make("code", "", error.path), " ", error.message, " ",
      make("code", "", error.code));
  }
  return whole;
}

function requestTable(call) {
  const pairs = [["call", call.sequence], ["came at", new Date(call.received_at).toISOString()],
    ["outcome", call.outcome], ["answered", (call.status === "closed" ? "connection closed" :
      call.status) + (call.code ? " " + call.code : "")],
    ["trace id", call.trace_id], ["events", call.events], ["bytes", call.bytes],
    ["fault", call.fault && JSON.stringify(call.fault)]];
  const request = call.request || {};
  pairs.push(["request", request.method + " " + request.path]);
  for (const part of ["query", "headers"]) {
    for (const [name, value] of Object.entries(request[part] || {}).sort()) {
      pairs.push([name, value]);
    }
  }
  return table(pairs);
}

function fill() {
  const parts = [], heading = text => parts.push(make("h3", "", text));
  const call = answer.request;
  const listed = list => Array.isArray(list) ? list : [];
  const errors = listed(opened.call ? call && call.errors : answer.errors);
  if (errors.length) { heading("Errors"); parts.push(errorList(errors)); }
  if (!opened.call) {
    heading("Event as sent");
    if (answer.text === undefined) {
      parts.push(make("p", "", "It is no longer kept: newer events took its place."));
    } else if (asSent) parts.push(make("pre", "", answer.text));
    else {
      parts.push(layOut(answer.text,
        new Set(errors.map(error => error.path.replace(/^\[\d+\]\.?/, "")))));
    }
  }
  heading("Request it came in");
  if (call) parts.push(requestTable(call));
  else {
    parts.push(make("p", "", "The call is no longer in the log of the last 1000."));
    parts.push(table([["trace id", answer.trace_id], ["app id", answer.app_id],
      ["access id", answer.access_id]]));
  }
  body.replaceChildren(...parts);
}

async function show(item) {
  opened = item;
  const bad = item.call || !item.ok;
  put($("title"), (item.call ? "Call " + item.call : "Event " + item.n) +
    (bad ? ", refused" : ", valid"));
  $("layout").hidden = Boolean(item.call);
  detail.hidden = false;
  try {
    const got = await ask("/sandbox/page/detail?" +
      (item.call ? "call=" + item.call : "sequence=" + item.n));
    if (opened !== item) return;
    answer = got;
    fill();
    body.scrollTop = 0;
  } catch (error) {
    if (opened === item) body.replaceChildren(make("p", "", "Cannot be had: " + error.message));
  }
}

function close() {
  opened = answer = chosen = null;
  detail.hidden = true;
  body.replaceChildren();
  draw();
  list.focus();
}

// ---- news ----

async function ask(path, options) {
  const response = await fetch(path, {
    cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
  const got = await response.json();
  if (!response.ok) {
    throw new Error(got.errors ? got.errors[0].message : "status " + response.status);
  }
  return got;
}

function parameters() {
  const words = new URLSearchParams({ since, since_call: sinceCall, run,
    limit: paused ? 0 : fresh ? 1000 : EACH });
  for (const [name, value] of [["event_code", $("code").value.trim()],
    ["customer_id", $("customer").value.trim()], ["valid", $("validity").value]]) {
    if (value) words.set(name, value);
  }
  return words;
}

function measure(news) {
  const total = news.valid + news.refused;
  if (last && last.run === news.run && news.now > last.now) {
    const now = Math.max(0, total - last.total) * 1000 / (news.now - last.now);
    rate = last.fresh ? now : rate * 0.6 + now * 0.4;
  } else rate = 0;
  last = { run: news.run, now: news.now, total, fresh: !last || last.run !== news.run };
}

function bar(name, x, y, height) {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const values = { class: name, x, y, width: 600 / MINUTES - 3, height };
  for (const key in values) rect.setAttribute(key, values[key]);
  return rect;
}

let drawn = "";
function chart(news) {
  const now = Math.floor(news.now / 60000), told = now + JSON.stringify(news.minutes);
  if (told === drawn) return;
  drawn = told;
  const shown = news.minutes.filter(([minute]) => minute > now - MINUTES);
  const peak = Math.max(1, ...shown.map(([, valid, refused]) => valid + refused));
  const bars = [];
  for (const [minute, valid, refused] of shown) {
    const x = (minute - now + MINUTES - 1) * 600 / MINUTES, scale = 96 / peak;
    // What is there is seen, however little it is beside the rest.
    const high = n => n ? Math.max(2, n * scale) : 0;
    if (valid) bars.push(bar("valid", x, 100 - high(valid), high(valid)));
    if (refused) bars.push(bar("refused", x, 100 - high(valid) - high(refused), high(refused)));
  }
  $("chart").replaceChildren(...bars);
  const newest = shown[shown.length - 1];
  put($("peak"), shown.length ? "peak " + number(peak) : "");
  $("chart").setAttribute("aria-label", newest ? "in the newest minute " + newest[1] +
    " valid and " + newest[2] + " refused; peak " + peak : "no events yet");
}

function counts(news) {
  put($("valid"), number(news.valid));
  put($("refused"), number(news.refused));
  put($("duplicates"), number(news.duplicates));
  put($("requests"), number(news.requests));
  put($("rate"), number(Math.round(rate)));
  put($("waiting"), (news.waiting ? news.waiting + (news.waiting === 1 ? " fault waits" :
    " faults wait") : "") + (news.rules ? " rules hold" : ""));
}

function take(news) {
  if (news.run !== run) {
    items = [];
    run = news.run;
    since = sinceCall = 0;
    if (opened) close();
  }
  measure(news);
  counts(news);
  chart(news);
  if (paused) return put($("sample"), "paused");
  const filtered = $("code").value.trim() || $("customer").value.trim();
  const calls = filtered || $("validity").value === "true" ? [] : news.calls;
  const came = news.sequence - since;
  if (news.events.length === EACH && came > EACH && !fresh) {
    put($("sample"), "a sample: the newest " + EACH + " of " + number(came));
  } else put($("sample"), "");
  since = news.sequence;
  sinceCall = news.call;
  fresh = false;
  add(news.events.concat(calls).sort((a, b) => a.at - b.at || (a.n || 0) - (b.n || 0)));
}

function connection(ok) {
  lost = !ok;
  $("lost").hidden = ok;
  put($("lost"), ok ? "" : "The connection to the sandbox is lost. Trying again …");
  put($("state"), ok ? "live" : "not connected");
  $("state").classList.toggle("live", ok);
}

async function turn() {
  clearTimeout(timer);
  const mine = epoch;
  let wait = document.hidden ? HIDDEN_PACE : PACE;
  asking = ask("/sandbox/page/news?" + parameters());
  try {
    const news = await asking;
    if (mine !== epoch) return;
    connection(true);
    take(news);
  } catch {
    if (mine !== epoch) return;
    connection(false);
    wait = RETRY;
  }
  draw();
  timer = setTimeout(turn, wait);
}

function again() {
  epoch++;
  turn();
}

function refilter() {
  items = [];
  since = sinceCall = 0;
  fresh = true;
  chosen = null;
  list.scrollTop = 0;
  again();
}

// ---- what the user does ----

const FAULTS = [
  ["503", "answers 503 once", { status: 503, retry_after: 1 }],
  ["429", "answers 429 once: too many calls", { status: 429, retry_after: 2 }],
  ["401", "answers 401 once: wrong credentials", { status: 401 }],
  ["reject", "refuses the batch once", { error_code: "SANDBOX_REJECTS", status: 200 }],
  ["slow", "answers after 15 seconds", { delay: 15 }],
  ["cut", "closes the connection; nothing is stored", { close: "before" }],
  ["cut after storing", "stores the call, then closes the connection", { close: "after" }],
  ["garbage", "answers 200 with something that is no JSON", { body: "garbage" }],
  ["10 % fail", "a tenth of all calls fails, until faults are cleared",
    { status: 500, probability: 0.1, times: "forever" }],
];

async function command(method, path, fault) {
  try {
    await ask(path, { method, body: fault && JSON.stringify(fault) });
    again();
  } catch (error) {
    put($("waiting"), error.message);
  }
}

for (const [label, title, fault] of FAULTS) {
  const button = $("faults").appendChild(make("button", "", label));
  button.type = "button";
  button.title = title;
  button.dataset.fault = label;
  button.addEventListener("click", () => command("POST", "/sandbox/faults", fault));
}
$("clear").addEventListener("click", () => command("DELETE", "/sandbox/faults"));
$("reset").addEventListener("click", () => command("POST", "/sandbox/reset"));

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  put($("pause"), paused ? "Resume" : "Pause");
  again();
}
$("pause").addEventListener("click", pause);
$("close").addEventListener("click", close);
$("layout").addEventListener("click", () => {
  asSent = !asSent;
  $("layout").setAttribute("aria-pressed", String(asSent));
  if (answer) fill();
});

let typing = 0;
$("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(refilter, 150);
});
$("filter").addEventListener("submit", event => {
  event.preventDefault();
  list.focus();
});

list.addEventListener("scroll", () => requestAnimationFrame(draw));
addEventListener("resize", draw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });

const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
const KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(page()),
  PageUp: () => step(-page()), Home: () => step(-KEPT), End: () => step(KEPT),
  Enter: () => { if (chosen) choose(chosen, true); },
};
list.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const writing = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (writing) list.focus();
    else if (opened || chosen) close();
  } else if (writing) return;
  else if (event.key === "/") {
    event.preventDefault();
    $("code").focus();
    $("code").select();
  } else if (event.key === "p") pause();
});

put($("endpoint"), location.origin);
turn();
})();
]==]
