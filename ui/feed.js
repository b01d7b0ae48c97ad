// The page's connection: it reports its state, and its reconnects resume exactly where the stream ended.

const HEARTBEAT_S = 5;
const SILENT_S = 2.5 * HEARTBEAT_S;
const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 15;
const SLOW_CONNECT_S = 6;
const FRESH_MS = 30_000;
const MAX_IDS = 60;

/**
 * Calls `onState(state, detail)` with `connecting`, `live`, `reconnecting` or `refused`, and for each item `onEvent(event,
 * atMs)` (null for a foreign event), `onGap(fields, atMs)` or `onHeartbeat(fields)`. `reconnects` counts streams
 * opened after the first.
 *
 * The browser's own reconnect has only one last id, which is exact for one topic and one generator. It gives up when an answer
 * is not an event stream (a proxy's 502, a replica's 503), and it takes a dead connection * for a
 quiet one. So this class reconnects itself, with an id for each stream, and requests heartbeats that it can see.
 */
export class Feed {
  reconnects = 0;
  #worker = new Worker(new URL("arrivals.js", import.meta.url), { type: "module" });
  #number = 0;
  #url = null;
  #timer = 0;
  #failures = 0;
  #opened = false;
  #live = false;
  #heardMs = 0;
  #topics = [];
  #marks = new Map();
  #waiting = false;
  #token;
  #listeners;

  /** `token` is the server's token, if it requires one: an EventSource cannot send headers. */
  constructor(listeners, token) {
    this.#listeners = listeners;
    this.#token = token;
    this.#worker.onmessage = ({ data }) => data.number === this.#number && this.#take(data);
    setInterval(() => this.#watch(), 1000);
  }

  /** Start again with these topics, and forget what was received before. */
  open(topics) {
    this.#topics = topics;
    this.#opened = false;
    this.#failures = 0;
    this.#marks.clear();
    this.reconnects = 0;
    this.#connect();
  }

  /** Reconnect without waiting any longer. */
  retry() {
    this.#connect();
  }

  /** The network is back: do not wait for the next attempt. */
  hurry() {
    if (this.#waiting) this.#connect();
  }

  #take({ kind, refused, items }) {
    this.#heardMs = performance.now();
    if (kind === "open") this.#onOpen();
    else if (kind === "error") this.#onError(refused);
    else for (const item of items) this.#onItem(item);
  }

  #onItem({ atMs, event, gap, beat }) {
    if (gap) this.#listeners.onGap(gap, atMs);
    else if (beat) this.#listeners.onHeartbeat(beat);
    else {
      if (event) this.#mark(event, atMs);
      this.#listeners.onEvent(event, atMs);
    }
  }

  /** Remember an event as the last one of its topic and stream. */
  #mark({ topic, stream, seq }, atMs) {
    const streams = this.#marks.get(topic) ?? new Map();
    this.#marks.set(topic, streams);
    const last = Math.max(seq, streams.get(stream)?.seq ?? seq);
    // Delete and set, so that the most recent stream is last.
    streams.delete(stream);
    streams.set(stream, { seq: last, atMs });
    if (streams.size > MAX_IDS) streams.delete(streams.keys().next().value);
  }

  /** `TOPIC:STREAM-SEQ` of each recent stream, and for a quiet topic only of the last: replicas forget old ones. */
  #ids() {
    const ids = [];
    for (const [topic, streams] of this.#marks) {
      const newest = [...streams.values()].at(-1).atMs;
      for (const [stream, { seq, atMs }] of streams) if (atMs > newest - FRESH_MS) ids.push(`${topic}:${stream}-${seq}`);
    }
    return ids.slice(-MAX_IDS);
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#waiting = this.#live = false;
    this.#heardMs = performance.now();
    const url = new URL("sse", document.baseURI);
    for (const topic of this.#topics) url.searchParams.append("topic", topic);
    url.searchParams.set("heartbeat", HEARTBEAT_S);
    if (this.#token) url.searchParams.set("token", this.#token);
    for (const id of this.#ids()) url.searchParams.append("last_event_id", id);
    this.#listeners.onState(this.#trying, "");
    this.#url = url.href;
    this.#open(this.#url);
    this.#timer = setTimeout(() => this.#explainSlowness(), SLOW_CONNECT_S * 1000);
  }

  /** Make the worker open this stream, or none; later messages about the previous stream are ignored. */
  #open(url) {
    this.#number += 1;
    this.#worker.postMessage({ number: this.#number, url });
  }

  get #trying() {
    return this.#opened ? "reconnecting" : "connecting";
  }

  #onOpen() {
    clearTimeout(this.#timer);
    if (this.#opened) this.reconnects += 1;
    this.#opened = this.#live = true;
    this.#failures = 0;
    this.#listeners.onState("live", "");
  }

  /** A connection can die silently: a replica hangs, or the network is gone. */
  #watch() {
    const silentS = (performance.now() - this.#heardMs) / 1000;
    if (this.#live && silentS > SILENT_S) this.#wait(`no event and no heartbeat for ${Math.round(silentS)} s`);
  }

  async #onError(refused) {
    if (!refused) {
      this.#wait("the connection is down");
      return;
    }
    const number = this.#number;
    const { words, final } = await explain(this.#url);
    if (number !== this.#number) return;
    if (final) {
      this.#open(null);
      clearTimeout(this.#timer);
      this.#live = false;
      this.#listeners.onState("refused", words);
    } else {
      this.#wait(words);
    }
  }

  /** Close, and reconnect after a delay. */
  #wait(why) {
    this.#open(null);
    clearTimeout(this.#timer);
    this.#live = false;
    // Spread out, so that a dead replica's pages do not all return at once.
    const waitS = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#listeners.onState("reconnecting", `${why}; next try in ${Math.ceil(waitS)} s`);
    this.#waiting = true;
    this.#timer = setTimeout(() => this.#connect(), waitS * 1000);
  }

  #explainSlowness() {
    const why = "no answer yet; over HTTP/1.1 a browser opens six connections to a host, and other tabs may use them all";
    this.#listeners.onState(this.#trying, why);
  }
}

/** The server's answer at this address, which an EventSource hides, and whether a retry is useless. */
async function explain(url) {
  const abort = new AbortController();
  try {
    const answer = await fetch(url, { headers: { accept: "application/json" }, signal: abort.signal });
    if (answer.ok) return { words: "the connection is down", final: false };
    const text = await answer.text();
    let words = text.trim().slice(0, 200) || answer.statusText;
    try {
      words = String(JSON.parse(text).error ?? words);
    } catch {
      // a proxy's page
    }
    return { words: `the server answered ${answer.status}: ${words}`, final: [400, 401, 403, 404].includes(answer.status) };
  } catch {
    return { words: "the server does not answer", final: false };
  } finally {
    abort.abort();
  }
}
