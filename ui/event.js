// An event as a replica sends it, and the times it carries. Wall-clock nanoseconds exceed 2^53, so they are read as
// BigInt and only their differences become numbers.

/** The wall clock in milliseconds with sub-millisecond steps: Date.now() has whole ones, performance.now() drifts. */
let offsetMs = performance.timeOrigin;
export function nowMs() {
  const now = offsetMs + performance.now();
  const driftMs = Date.now() - now;
  if (Math.abs(driftMs) <= 5) return now;
  offsetMs += driftMs;
  return now + driftMs;
}

/** A reviver for JSON.parse: numbers named `…_ns` become BigInt and keep all their digits. */
export function keepNanoseconds(key, value, context) {
  if (typeof value !== "number" || !key.endsWith("_ns")) return value;
  // Browsers without JSON source text access lose at most 128 ns.
  return BigInt(/^\d+$/.test(context?.source ?? "") ? context.source : Math.round(value));
}

const between = (from, to) => Number(to - from) / 1e6;

/**
 * One `message` event of the stream, or null if it is not one of our events.
 * Hops are in ms and add up to latencyMs; fan-out, and so latency, compares two machines' clocks if there are two.
 */
export function readEvent(id, text, arrivedMs) {
  let fields;
  try {
    fields = JSON.parse(text, keepNanoseconds);
  } catch {
    return null;
  }
  const { server, stream, seq, topic, due_ns, sent_ns, received_ns } = fields ?? {};
  const times = [due_ns, sent_ns, received_ns];
  if (![server, stream, topic].every((word) => typeof word === "string")) return null;
  if (!Number.isSafeInteger(seq) || !times.every((time) => typeof time === "bigint")) return null;
  const dueMs = Number(due_ns / 1000n) / 1000;
  const schedule = between(due_ns, sent_ns);
  const broker = between(sent_ns, received_ns);
  const latencyMs = arrivedMs - dueMs;
  return { id, text, server, stream, seq, topic, dueMs, latencyMs, hops: { schedule, broker, fanout: latencyMs - schedule - broker } };
}

/** Format 0.42, 4.2, 42, 4200 with at most three figures, without false precision. */
export function formatMs(ms) {
  const size = Math.abs(ms);
  if (size >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(size < 1 ? 2 : size < 100 ? 1 : 0)} ms`;
}

/** A readable age: `now`, `12 s`, `3 min`, `2 h`. */
export function formatAge(ms) {
  if (ms < 1000) return "now";
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}
