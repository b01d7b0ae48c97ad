// The connection: an EventSource that is told apart by state, and that comes back also where the browser gives up.

const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 15;
const SLOW_CONNECT_S = 6;

/**
 * Calls `onState(state, detail)` with `connecting`, `live` or `reconnecting`, `onEvent(id, text)` for each event and
 * `onGap(text)` for each `event: gap`. `reconnects` counts streams opened after the first.
 */
export class Feed {
  reconnects = 0;
  #source = null;
  #timer = 0;
  #failures = 0;
  #opened = false;
  #lastId = "";
  #topics = [];
  #listeners;

  constructor(listeners) {
    this.#listeners = listeners;
  }

  /** Start anew on these topics, with no memory of what was received before. */
  open(topics) {
    this.#topics = topics;
    this.#opened = false;
    this.#failures = 0;
    this.#lastId = "";
    this.reconnects = 0;
    this.#connect();
  }

  /** Reconnect without waiting any longer. */
  retry() {
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    this.close();
    const url = new URL("sse", document.baseURI);
    for (const topic of this.#topics) url.searchParams.append("topic", topic);
    if (this.#lastId) url.searchParams.set("last_event_id", this.#lastId);
    this.#say(this.#opened ? "reconnecting" : "connecting", "");
    const source = new EventSource(url);
    this.#source = source;
    this.#timer = setTimeout(() => this.#explainSlowness(), SLOW_CONNECT_S * 1000);
    source.onopen = () => this.#onOpen();
    source.onerror = () => this.#onError();
    source.onmessage = (message) => {
      this.#lastId = message.lastEventId;
      this.#listeners.onEvent(message.lastEventId, message.data);
    };
    source.addEventListener("gap", (message) => this.#listeners.onGap(message.data));
  }

  #onOpen() {
    clearTimeout(this.#timer);
    if (this.#opened) this.reconnects += 1;
    this.#opened = true;
    this.#failures = 0;
    this.#say("live", "");
  }

  #onError() {
    clearTimeout(this.#timer);
    if (this.#source.readyState !== EventSource.CLOSED) {
      this.#say("reconnecting", "the stream ended; the browser is opening it again");
      return;
    }
    // The browser gives up for good when an answer is not an event stream: a proxy's 502, a replica's 503.
    const waitS = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#say("reconnecting", `the server answered with an error; next try in ${Math.ceil(waitS)} s`);
    this.#timer = setTimeout(() => this.#connect(), waitS * 1000);
  }

  #explainSlowness() {
    this.#say(this.#opened ? "reconnecting" : "connecting",
      "no answer yet; over HTTP/1.1 a browser opens six connections to a host, other tabs may hold them");
  }

  #say(state, detail) {
    this.#listeners.onState(state, detail);
  }
}
