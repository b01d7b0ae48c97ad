// The connection: an EventSource whose state is told, and whose reconnects go on exactly where it broke off.

const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 15;
const SLOW_CONNECT_S = 6;
const FRESH_MS = 30_000;
const MAX_IDS = 60;

/**
 * Calls `onState(state, detail)` with `connecting`, `live` or `reconnecting`, `onEvent(id, text)` for each event and
 * `onGap(text)` for each `event: gap`. `reconnects` counts streams opened after the first.
 *
 * The browser's own reconnect knows one last id, which is exact for one topic and one generator, and it gives up when
 * an answer is not an event stream (a proxy's 502, a replica's 503). So this reconnects itself, with an id for each.
 */
export class Feed {
  reconnects = 0;
  #source = null;
  #timer = 0;
  #failures = 0;
  #opened = false;
  #topics = [];
  #marks = new Map();
  #waiting = false;
  #token;
  #listeners;

  /** `token` is what the server asks for, if it does: an EventSource can send no header. */
  constructor(listeners, token) {
    this.#listeners = listeners;
    this.#token = token;
  }

  /** Start anew on these topics, with no memory of what was received before. */
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

  /** The network is back: do not wait for the next try. */
  hurry() {
    if (this.#waiting) this.#connect();
  }

  /** Remember how far an event brings its topic and stream. */
  mark({ topic, stream, seq }, atMs) {
    const streams = this.#marks.get(topic) ?? new Map();
    this.#marks.set(topic, streams);
    const last = Math.max(seq, streams.get(stream)?.seq ?? seq);
    // Set anew, so that the stream heard last stands last.
    streams.delete(stream);
    streams.set(stream, { seq: last, atMs });
    if (streams.size > MAX_IDS) streams.delete(streams.keys().next().value);
  }

  /** `TOPIC:STREAM-SEQ` of each stream heard lately; of a quiet topic only the last: old ones are forgotten anywhere. */
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
    this.#waiting = false;
    this.#source?.close();
    const url = new URL("sse", document.baseURI);
    for (const topic of this.#topics) url.searchParams.append("topic", topic);
    if (this.#token) url.searchParams.set("token", this.#token);
    for (const id of this.#ids()) url.searchParams.append("last_event_id", id);
    this.#listeners.onState(this.#trying, "");
    const source = new EventSource(url);
    this.#source = source;
    this.#timer = setTimeout(() => this.#explainSlowness(), SLOW_CONNECT_S * 1000);
    source.onopen = () => this.#onOpen();
    source.onerror = () => this.#onError();
    source.onmessage = (message) => this.#listeners.onEvent(message.lastEventId, message.data);
    source.addEventListener("gap", (message) => this.#listeners.onGap(message.data));
  }

  get #trying() {
    return this.#opened ? "reconnecting" : "connecting";
  }

  #onOpen() {
    clearTimeout(this.#timer);
    if (this.#opened) this.reconnects += 1;
    this.#opened = true;
    this.#failures = 0;
    this.#listeners.onState("live", "");
  }

  #onError() {
    clearTimeout(this.#timer);
    const refused = this.#source.readyState === EventSource.CLOSED;
    this.#source.close();
    // Spread out, so that the pages of a replica that died do not come back all at once.
    const waitS = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    const why = refused ? "the server answered with an error" : "the connection is down";
    this.#listeners.onState("reconnecting", `${why}; next try in ${Math.ceil(waitS)} s`);
    this.#waiting = true;
    this.#timer = setTimeout(() => this.#connect(), waitS * 1000);
  }

  #explainSlowness() {
    const why = "no answer yet; over HTTP/1.1 a browser opens six connections to a host, other tabs may hold them";
    this.#listeners.onState(this.#trying, why);
  }
}
