// A worker that holds the connection. It stamps and reads arrivals where no painting delays them: on the page's
// own thread, the stamp would wait for the current frame.

import { nowMs, readEvent } from "./event.js";

const BATCH_MS = 15;

let source = null;
let number = 0;
let batch = [];
let timer = 0;

function send(kind, details = {}) {
  flush();
  postMessage({ number, kind, ...details });
}

function flush() {
  clearTimeout(timer);
  timer = 0;
  if (batch.length) postMessage({ number, kind: "items", items: batch });
  batch = [];
}

function take(item) {
  batch.push(item);
  timer ||= setTimeout(flush, BATCH_MS);
}

function readFields(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function open(url) {
  source = new EventSource(url);
  source.onopen = () => send("open");
  // A closed source was refused: the answer was no event stream, and the browser does not retry.
  source.onerror = () => send("error", { refused: source?.readyState === EventSource.CLOSED });
  source.onmessage = (message) => {
    const atMs = nowMs();
    take({ atMs, event: readEvent(message.lastEventId, message.data, atMs) });
  };
  source.addEventListener("gap", (message) => take({ atMs: nowMs(), gap: readFields(message.data) }));
  source.addEventListener("heartbeat", (message) => take({ atMs: nowMs(), beat: readFields(message.data) }));
}

/** `{ number, url }` opens that stream instead of the previous one; without a URL it only closes. */
onmessage = ({ data }) => {
  source?.close();
  source = null;
  flush();
  number = data.number;
  if (data.url) open(data.url);
};
