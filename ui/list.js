// The list of events, newest first: at most ROWS rows, whose elements are reused and filled only with text.

import { formatAge, formatMs } from "./event.js";

export const ROWS = 100;

function makeRow() {
  const row = document.createElement("tr");
  for (const name of ["id", "topic", "server", "number", "number age"]) {
    const cell = document.createElement("td");
    cell.className = name;
    row.append(cell);
  }
  return row;
}

export class List {
  #body;
  #waiting = [];
  #items = new WeakMap();
  #chosen = null;
  #onChoose;
  skipped = 0;

  /** `onChoose(event)` is called with the event of the row that the user selected. */
  constructor(body, onChoose) {
    this.#body = body;
    this.#onChoose = onChoose;
    body.addEventListener("click", ({ target }) => this.#choose(target.closest("tr")));
  }

  /** Keep for the next paint: `{ event, kind, missing }`, or a gap as `{ gap, atMs }`. */
  add(item) {
    this.#waiting.push(item);
    // A hidden or paused page paints nothing, and keeps only what the page can show.
    if (this.#waiting.length > 2 * ROWS) this.skipped += this.#waiting.splice(0, this.#waiting.length - ROWS).length;
  }

  get waiting() {
    return this.skipped + this.#waiting.length;
  }

  clear() {
    this.#body.replaceChildren();
    this.#waiting = [];
    this.#chosen = null;
    this.skipped = 0;
  }

  /** Put the events since the last paint at the top. */
  paint(nowMs) {
    const items = this.#waiting.slice(-ROWS);
    this.#waiting = [];
    this.skipped = 0;
    if (!items.length) return;
    const fresh = document.createDocumentFragment();
    for (const item of items.reverse()) fresh.append(this.#fill(this.#spareRow(items.length), item, nowMs));
    this.#body.prepend(fresh);
    while (this.#body.rows.length > ROWS) this.#body.lastElementChild.remove();
  }

  /** Rewrite the ages that have changed. */
  age(nowMs) {
    for (const row of this.#body.rows) this.#writeAge(row, nowMs);
  }

  /** Select the row `step` below the selected one, or the first. */
  move(step) {
    const rows = [...this.#body.rows];
    const from = rows.indexOf(this.#chosen);
    const row = rows[from < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, from + step))];
    this.#choose(row);
    row?.scrollIntoView({ block: "nearest" });
  }

  #spareRow(fresh) {
    const last = this.#body.lastElementChild;
    // The selected row keeps its event while it is shown.
    if (!last || last === this.#chosen || this.#body.rows.length + fresh <= ROWS) return makeRow();
    last.remove();
    return last;
  }

  #fill(row, item, nowMs) {
    const [id, topic, server, latency] = row.cells;
    const { event, gap } = item;
    row.className = gap ? "gap" : item.kind;
    row.removeAttribute("aria-current");
    id.textContent = gap ? "gap" : event.id;
    topic.textContent = gap ? (gap.topic ?? "all topics") : event.topic;
    server.textContent = gap ? gap.server : event.server;
    latency.textContent = gap ? "" : formatMs(event.latencyMs);
    id.title = "";
    if (item.kind === "hole") id.title = `${item.missing} missing before this event`;
    if (gap) id.textContent = `gap: ${gap.cause}${gap.lost === null ? "" : `, ${gap.lost} lost`}`;
    if (item.kind === "duplicate" || item.kind === "late") id.title = item.kind;
    this.#items.set(row, item);
    row.cells[4].textContent = "";
    this.#writeAge(row, nowMs);
    return row;
  }

  #writeAge(row, nowMs) {
    const { event, atMs } = this.#items.get(row);
    const age = formatAge(nowMs - (event?.dueMs ?? atMs));
    if (row.cells[4].textContent !== age) row.cells[4].textContent = age;
  }

  #choose(row) {
    const event = row && this.#items.get(row)?.event;
    if (!event) return;
    this.#chosen?.removeAttribute("aria-current");
    this.#chosen = row;
    row.setAttribute("aria-current", "true");
    this.#onChoose(event);
  }
}
