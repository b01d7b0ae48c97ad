// The page: receives the stream's events, and paints them ten times a second.

import { Chart } from "./chart.js";
import { Continuity } from "./continuity.js";
import { formatMs, keepNanoseconds, nowMs } from "./event.js";
import { Feed } from "./feed.js";
import { List, ROWS } from "./list.js";
import { Tally } from "./tally.js";

const CHART_EVERY_MS = 250;
const PAINT_EVERY_MS = 100;
const RECENT_S = 10;
const MAX_REPLICAS_SHOWN = 32;
const STATE_NAMES = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", refused: "Refused" };
const HOP_NAMES = { schedule: "Schedule", broker: "Broker", fanout: "Fan-out" };

const at = (id) => document.getElementById(id);
const write = (id, text) => {
  if (at(id).textContent !== text) at(id).textContent = text;
};
const count = (number) => number.toLocaleString("en");

let topics = [];
let tally = new Tally();
let continuity = new Continuity();
let gaps = 0;
let foreign = 0;
let paused = false;
let chartsDueMs = 0;
let agesDueMs = 0;
let paintTimer = 0;
let brokerAway = false;
let brokerName = "";

const list = new List(at("rows"), showDetail);
const rateChart = new Chart(at("rate-chart"), [{ field: "rate", color: "--accent", fill: true }], (rate) => `${rate}/s`);
const latencyChart = new Chart(
  at("latency-chart"),
  [{ field: "p99", color: "--second" }, { field: "p50", color: "--accent", fill: true }],
  formatMs,
);
const token = new URLSearchParams(location.search).get("token");
const feed = new Feed({ onState: showState, onEvent: takeEvent, onGap: takeGap, onHeartbeat: takeHeartbeat }, token);

function takeEvent(event, atMs) {
  if (event === null) {
    foreign += 1;
  } else {
    tally.add(event, atMs);
    list.add({ event, ...continuity.place(event) });
  }
  schedulePaint();
}

function takeGap(told, atMs) {
  gaps += 1;
  const gap = { server: String(told.server ?? ""), cause: String(told.cause ?? "unknown"), lost: Number.isInteger(told.lost) ? told.lost : null, topic: told.topic == null ? null : String(told.topic) };
  list.add({ gap, atMs });
  schedulePaint();
}

/** The replica behind this stream reports its broker, and whether it is connected. */
function takeHeartbeat({ broker, broker_connected }) {
  brokerAway = broker_connected === false;
  brokerName = String(broker ?? "");
  showBroker();
  if (at("state").dataset.state === "live") showState("live", "");
}

function showBroker() {
  at("broker").hidden = !brokerName;
  at("broker").dataset.state = brokerAway ? "away" : "here";
  write("broker-name", brokerName);
  write("broker-state", brokerAway ? "away" : "connected");
}

/** Paint soon, not at once: figures that change with each event are unreadable, and painting is expensive. */
function schedulePaint() {
  paintTimer ||= setTimeout(() => requestAnimationFrame(paint), PAINT_EVERY_MS);
}

function paint() {
  paintTimer = 0;
  const now = nowMs();
  if (paused) write("events-note", `paused, ${count(list.waiting)} new`);
  else list.paint(now);
  at("empty").hidden = at("rows").rows.length > 0;
  write("received", count(tally.received));
  write("gaps", count(gaps));
  write("missing", count(continuity.missing));
  write("duplicates", count(continuity.duplicates));
  write("foreign", count(foreign));
  write("reconnects", count(feed.reconnects));
  paintReplicas();
  if (now >= agesDueMs) {
    agesDueMs = now + 1000;
    list.age(now);
  }
  if (now >= chartsDueMs) {
    chartsDueMs = now + CHART_EVERY_MS;
    paintFigures(now);
  }
}

function paintFigures(now) {
  const series = tally.series(now);
  rateChart.show(series);
  latencyChart.show(series);
  const whole = series.slice(-5).filter(Boolean);
  const rate = whole.reduce((sum, point) => sum + point.rate, 0) / (whole.length || 1);
  write("rate", rate.toFixed(rate < 10 && !Number.isInteger(rate) ? 1 : 0));
  const recent = tally.recent(now, RECENT_S);
  write("p50", recent ? formatMs(recent.p50) : "–");
  write("p99", recent ? formatMs(recent.p99) : "–");
  at("rate-chart").setAttribute("aria-label", `Events per second over the last minute, now ${rate.toFixed(1)}`);
  at("latency-chart").setAttribute("aria-label", recent ? `Latency over the last minute, now median ${formatMs(recent.p50)}, 99th percentile ${formatMs(recent.p99)}` : "Latency: no events yet");
  if (recent) paintHops(at("hops"), recent.hops);
  for (const hop of Object.keys(HOP_NAMES)) write(`hop-${hop}`, recent ? formatMs(recent.hops[hop]) : "–");
  // Due, sent and received are read on the servers' clocks, only the arrival on this machine's.
  const behind = recent && recent.lowestMs < -0.5;
  at("skew").hidden = !behind;
  if (behind) write("skew", `This machine's clock is at least ${formatMs(-recent.lowestMs)} behind the server's: latency and fan-out are too low by this amount.`);
}

function paintHops(bar, hops) {
  const total = Object.values(hops).reduce((sum, ms) => sum + Math.max(0, ms), 0) || 1;
  for (const hop of Object.keys(HOP_NAMES)) bar.querySelector(`.${hop}`).style.flexGrow = Math.max(0, hops[hop]) / total;
  bar.setAttribute("aria-label", Object.entries(HOP_NAMES).map(([hop, name]) => `${name} ${formatMs(hops[hop])}`).join(", "));
}

function paintReplicas() {
  const shown = [...tally.servers].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, MAX_REPLICAS_SHOWN);
  at("replicas-empty").hidden = shown.length > 0;
  const items = at("replicas");
  while (items.children.length > shown.length) items.lastElementChild.remove();
  while (items.children.length < shown.length) {
    const item = document.createElement("li");
    item.append(...["name", "count", "bar"].map((name) => Object.assign(document.createElement("span"), { className: name })));
    items.append(item);
  }
  shown.forEach(([server, events], index) => {
    const [name, number, bar] = items.children[index].children;
    name.textContent = name.title = server;
    number.textContent = count(events);
    bar.style.inlineSize = `${(100 * events) / tally.received}%`;
  });
}

function showState(state, detail) {
  const badge = at("state");
  const away = state === "live" && brokerAway;
  const name = away ? "Broker away" : STATE_NAMES[state];
  if (badge.dataset.state !== state || (badge.dataset.broker === "away") !== away) write("announce", name);
  badge.dataset.state = state;
  badge.dataset.broker = away ? "away" : "here";
  write("state-name", name);
  write("state-detail", away ? "the replica has lost its broker and is reconnecting" : detail);
  at("retry").hidden = state !== "reconnecting" && state !== "refused";
  schedulePaint();
}

function showDetail(event) {
  at("detail").hidden = false;
  write("detail-id", event.id);
  paintHops(at("detail-hops"), event.hops);
  const hops = Object.entries(HOP_NAMES).map(([hop, name]) => `${name.toLowerCase()} ${formatMs(event.hops[hop])}`).join("  ");
  write("detail-text", `${hops}\n\n${pretty(event.text)}`);
  write("announce", `Event ${event.id}, ${hops}`);
}

/** The event with a line per field; nanoseconds keep their digits where the browser can write them. */
function pretty(text) {
  const digits = JSON.rawJSON ?? Number;
  return JSON.stringify(JSON.parse(text, keepNanoseconds), (_, value) => (typeof value === "bigint" ? digits(String(value)) : value), 1)
    .replace(/^ /gm, "").slice(2, -2);
}

function setPaused(value) {
  paused = value;
  at("pause").setAttribute("aria-pressed", String(paused));
  write("pause", paused ? "Resume" : "Pause");
  write("events-note", `newest ${ROWS}`);
  schedulePaint();
}

function clear() {
  tally = new Tally();
  continuity = new Continuity();
  gaps = foreign = 0;
  feed.reconnects = 0;
  list.clear();
  at("detail").hidden = true;
  chartsDueMs = 0;
  schedulePaint();
}

function listen(wanted) {
  topics = wanted.length ? wanted : ["events"];
  at("topic").value = topics.join(", ");
  write("empty-topic", topics.join(", "));
  const url = new URL(location.href);
  url.searchParams.delete("topic");
  if (wanted.length) for (const topic of topics) url.searchParams.append("topic", topic);
  history.replaceState(null, "", url);
  clear();
  feed.open(topics);
}

/** Offer the topics that the replica knows. A proxy does not publish them; the page also works without. */
async function readTopics() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch("stats", { headers }).catch(() => null);
  const stats = answer?.ok ? await answer.json().catch(() => null) : null;
  const known = Object.keys(stats?.topics ?? {});
  at("known-topics").replaceChildren(...known.slice(0, 200).map((topic) => Object.assign(document.createElement("option"), { value: topic })));
}

at("pause").addEventListener("click", () => setPaused(!paused));
at("clear").addEventListener("click", clear);
at("retry").addEventListener("click", () => feed.retry());
window.addEventListener("online", () => feed.hurry());
at("topic-form").addEventListener("submit", (event) => {
  event.preventDefault();
  listen(at("topic").value.split(",").map((topic) => topic.trim()).filter(Boolean));
});
at("topic").addEventListener("focus", readTopics);
at("scroller").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  list.move(step);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const act = { p: () => setPaused(!paused), c: clear, "/": () => at("topic").select() }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [rateChart, latencyChart].forEach((chart) => chart.draw()));
setInterval(schedulePaint, CHART_EVERY_MS);

setPaused(false);
listen(new URLSearchParams(location.search).getAll("topic"));
