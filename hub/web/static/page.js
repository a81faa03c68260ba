// Keeps the page as the hub is. Text from outside enters by textContent alone.
"use strict";

const LINES = 5000; // kept in the page; the oldest go first
const SILENT = 40000; // ms without a beat: the connection is dead, whatever it says
const body = document.body;
const session = body.dataset.session;
const find = (id) => document.getElementById(id);
const link = find("link");
const lines = find("lines");
const newest = find("newest");
const follows = body.dataset.after !== undefined;

let last = Number(body.dataset.after || 0); // the last line that is here
let skew = Number(body.dataset.now) - Date.now(); // the hub's clock against ours
let source = null;
let heard = Date.now(); // the last event, by our clock
let opened = heard;
let wait = 1000; // ms to the next attempt
let again = null;

// Small things.

const pad = (n) => String(n).padStart(2, "0");

function clock(at) {
  const date = new Date(at);
  return [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(pad).join(":");
}

const day = (at) => `${new Date(at).toISOString().slice(0, 10)} ${clock(at)} UTC`;

function age(at) {
  const s = Math.max(0, Math.floor((Date.now() + skew - at) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function made(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function writeTime(cell, at) {
  let time = cell.querySelector("time");
  if (!time) {
    cell.textContent = "";
    time = cell.appendChild(made("time"));
  }
  time.dataset.at = at;
  time.title = day(at);
  write(time, age(at));
}

function writeState(cell, state, mark) {
  cell.dataset.state = state;
  write(cell.querySelector(".state") || cell.appendChild(made("span", "state")), state);
  const old = cell.querySelector(".mark");
  if (mark && old) write(old, mark);
  else if (mark) cell.append(" ", made("span", "mark", mark));
  else if (old) old.remove();
}

// Tables and lists: one row for each key, in the order that the hub gives.

function rows(list, things, key, make, fill) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  let place = list.firstElementChild;
  for (const thing of things) {
    let row = old.get(thing[key]);
    old.delete(thing[key]);
    if (!row) {
      row = make();
      row.dataset.key = thing[key];
    }
    fill(row, thing);
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
  }
  for (const row of old.values()) row.remove();
}

function blank(cells) {
  const row = made("tr");
  for (const [name, className, label] of cells) {
    const cell = row.appendChild(made("td", className));
    cell.dataset.cell = name;
    if (label) cell.dataset.label = label;
  }
  return row;
}

const cell = (row, name) => row.querySelector(`[data-cell="${name}"]`);

const newSpoke = () =>
  blank([["name", "name"], ["state"], ["use", "", "in use"], ["seen", "", "seen"], ["labels", "soft wrap"]]);

function fillSpoke(row, spoke) {
  write(cell(row, "name"), spoke.name);
  cell(row, "name").title = spoke.spokeId;
  writeState(cell(row, "state"), spoke.state, spoke.mark);
  write(cell(row, "use"), `${spoke.live} of ${spoke.slots}`);
  if (spoke.seen === null) write(cell(row, "seen"), "never");
  else writeTime(cell(row, "seen"), spoke.seen);
  write(cell(row, "labels"), spoke.labels.join("  "));
}

function newSession() {
  const row = blank([
    ["task", "name"], ["state"], ["since", "", "for"], ["spoke", "", "on"], ["branch", "soft wrap"],
    ["reason", "soft wrap"],
  ]);
  cell(row, "task").append(made("a"));
  return row;
}

function fillSession(row, one) {
  row.dataset.depth = Math.min(one.depth, 6);
  row.classList.toggle("ended", one.ended);
  if (one.sessionId === session) row.setAttribute("aria-current", "true");
  cell(row, "task").title = one.sessionId;
  const anchor = row.querySelector("a");
  anchor.href = `/?session=${encodeURIComponent(one.sessionId)}`;
  write(anchor, one.task);
  writeFacts(row, one);
  write(cell(row, "spoke"), one.spoke);
  write(cell(row, "branch"), one.branch);
}

function writeFacts(place, one) {
  writeState(cell(place, "state"), one.state, one.mark || one.activity);
  writeTime(cell(place, "since"), one.since);
  write(cell(place, "reason"), one.reason);
}

// What agents ask. What is typed for one stays, whatever comes meanwhile.

function newQuestion() {
  const item = made("li");
  const who = item.appendChild(made("p", "asks-who"));
  who.append(made("a"), " asks whether it may ", made("b"));
  for (const [name, className] of [["what"], ["where", "soft wrap"], ["then", "soft"]]) {
    item.appendChild(made(name === "what" ? "pre" : "p", className)).dataset.cell = name;
  }
  return item;
}

function fillQuestion(item, one) {
  item.dataset.state = one.state;
  const anchor = item.querySelector("a");
  anchor.href = `/?session=${encodeURIComponent(one.sessionId)}`;
  write(anchor, one.task);
  write(item.querySelector("b"), one.tool);
  write(cell(item, "what"), one.what);
  write(cell(item, "where"), one.where);
  const settled = one.unanswered === "allow" ? "allowed" : "denied";
  const until = one.until === null ? "" : `${settled} at ${clock(one.until)} UTC if nobody answers; `;
  const open = one.state === "open";
  write(cell(item, "then"), open ? `${until}the rule: ${one.rule}` : `answered by ${one.by}, on its way to the agent`);
  const command = item.querySelector(".command");
  if (command) command.remove();
  const form = item.querySelector("form");
  if (open && body.dataset.answers && !form) item.append(replyTo(one));
  else if (!open && form) form.remove();
}

function replyTo(one) {
  const form = made("form", "reply");
  const text = form.appendChild(made("input"));
  text.maxLength = 2000;
  text.placeholder = "for the agent, if you deny: why";
  text.setAttribute("aria-label", `What ${one.task} is told if you deny`);
  text.autocomplete = "off";
  for (const [decision, word] of [["allow", "Allow"], ["deny", "Deny"]]) {
    const button = form.appendChild(made("button", decision, word));
    button.type = "button";
    button.addEventListener("click", () => answer(form, one, decision, text.value));
  }
  form.appendChild(made("p", "trouble")).setAttribute("role", "alert");
  form.addEventListener("submit", (event) => event.preventDefault()); // Enter decides nothing
  return form;
}

async function answer(form, one, decision, message) {
  const buttons = form.querySelectorAll("button");
  const trouble = form.querySelector(".trouble");
  for (const button of buttons) button.disabled = true;
  write(trouble, "");
  try {
    const said = await fetch("/answer", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Coord": "1" },
      body: JSON.stringify({ sessionId: one.sessionId, question: one.question, decision, message }),
    });
    const told = await said.json();
    if (!said.ok) write(trouble, told.message);
    else if (told.decision !== decision) write(trouble, `too late: ${told.decision}, by ${told.by}`);
    else return; // the hub shows what has come of it
  } catch {
    write(trouble, "the hub does not answer; nothing was decided here");
  }
  for (const button of buttons) button.disabled = false;
}

function sum(overview) {
  const online = overview.spokes.filter((spoke) => spoke.state === "online").length;
  write(find("spokes-sum"), overview.spokes.length ? `${online} of ${overview.spokes.length} online` : "");
  const live = Object.entries(overview.live).map(([state, n]) => `${n} ${state}`);
  write(find("sessions-sum"), live.join(", ") || "none live");
  find("no-spokes").hidden = overview.spokes.length > 0;
  find("no-sessions").hidden = overview.sessions.length > 0;
  find("more").hidden = !overview.more;
}

function showOverview({ now, overview }) {
  skew = now - Date.now();
  rows(find("asks"), overview.questions, "key", newQuestion, fillQuestion);
  find("asks-part").hidden = overview.questions.length === 0;
  rows(find("spokes").tBodies[0], overview.spokes, "spokeId", newSpoke, fillSpoke);
  rows(find("sessions").tBodies[0], overview.sessions, "sessionId", newSession, fillSession);
  sum(overview);
  const chosen = overview.sessions.find((one) => one.sessionId === session);
  if (chosen && find("facts")) writeFacts(find("facts"), chosen);
}

// The transcript.

const atEnd = () => lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;

function toEnd() {
  lines.scrollTop = lines.scrollHeight;
  newest.hidden = true;
}

function showLines(batch) {
  const stay = !atEnd();
  const fresh = document.createDocumentFragment();
  for (const one of batch) {
    if (one.seq <= last) continue;
    last = one.seq;
    const row = fresh.appendChild(made("div", "line"));
    row.dataset.kind = one.kind;
    const time = row.appendChild(made("time", "", clock(one.at)));
    time.title = day(one.at);
    row.dataset.seq = one.seq;
    row.append(made("span", "kind", one.kind), made("span", "text", one.text));
  }
  lines.append(fresh);
  trim(stay ? 2 * LINES : LINES);
  if (stay) newest.hidden = false;
  else toEnd();
}

function trim(keep) {
  if (lines.childElementCount <= keep) return;
  while (lines.childElementCount > keep) lines.firstElementChild.remove();
  find("beginning").hidden = true;
  find("earlier").hidden = false;
  find("earlier").href = `/?session=${session}&until=${lines.firstElementChild.dataset.seq - 1}`;
}

// The connection: what is shown is live, or says that it is not.

function say(word, text) {
  link.dataset.link = word;
  write(link.querySelector(".word"), text);
  body.classList.toggle("stale", word === "broken");
}

function broken(text) {
  say("broken", `${text}; this is how it was at ${clock(heard + skew)} UTC`);
}

function close() {
  clearTimeout(again);
  if (source) source.close();
  source = null;
}

function open() {
  close();
  const query = new URLSearchParams();
  if (follows) {
    query.set("session", session);
    query.set("after", last);
  }
  opened = Date.now();
  source = new EventSource(`/live?${query}`);
  source.addEventListener("overview", (event) => {
    alive();
    showOverview(JSON.parse(event.data));
  });
  source.addEventListener("lines", (event) => {
    alive();
    showLines(JSON.parse(event.data));
  });
  source.addEventListener("beat", alive);
  source.addEventListener("error", retry);
}

function alive() {
  heard = Date.now();
  wait = 1000;
  if (link.dataset.link !== "live") say("live", "live");
}

async function retry() {
  close();
  again = setTimeout(open, wait);
  wait = Math.min(wait * 2, 15000);
  try {
    const answer = await fetch("/healthz");
    if (answer.status === 401) {
      close();
      broken("logged out: coordctl call hub.ticket gives a link");
    } else if (answer.ok) broken("connection lost, trying again");
    else broken((await answer.json()).message);
  } catch {
    broken("the hub does not answer, trying again");
  }
}

// A page that nobody sees holds no connection: a browser has six of them for each hub.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
  else {
    close();
    say("still", `paused at ${clock(Date.now() + skew)} UTC`);
  }
});

setInterval(() => {
  if (link.dataset.link === "live") {
    for (const time of document.querySelectorAll("time[data-at]")) write(time, age(Number(time.dataset.at)));
  }
  if (source && Date.now() - Math.max(heard, opened) > SILENT) retry();
}, 1000);

const logout = find("logout");
logout.hidden = false;
logout.addEventListener("click", async () => {
  close();
  await fetch("/logout", { method: "POST", headers: { "Content-Type": "application/json", "X-Coord": "1" } });
  location.replace("/login");
});

if (lines) {
  if (follows) toEnd();
  newest.addEventListener("click", toEnd);
  lines.addEventListener("scroll", () => {
    if (atEnd()) newest.hidden = true;
  });
}
open();
