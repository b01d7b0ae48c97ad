// Whether the events of a stream and topic arrive once, in order and without holes. Sequence numbers have no gap
// per (stream, topic), so missing events can be counted. Memory is bounded, whatever arrives.

const MAX_SEQUENCES = 1000;
const RECENT = 4096;

export class Continuity {
  missing = 0;
  duplicates = 0;
  #sequences = new Map();

  /** Classify an event: `next`, `first`, `hole` (with the number missing before it), `late` or `duplicate`. */
  place({ stream, topic, seq }) {
    const key = `${stream} ${topic}`;
    const known = this.#sequences.get(key);
    if (known === undefined) {
      this.#sequences.set(key, { last: seq, recent: new Set([seq]) });
      if (this.#sequences.size > MAX_SEQUENCES) this.#sequences.delete(this.#sequences.keys().next().value);
      return { kind: "first", missing: 0 };
    }
    if (known.recent.has(seq)) {
      this.duplicates += 1;
      return { kind: "duplicate", missing: 0 };
    }
    known.recent.add(seq);
    if (known.recent.size > RECENT) known.recent.delete(known.recent.values().next().value);
    if (seq < known.last) {
      this.missing = Math.max(0, this.missing - 1);
      return { kind: "late", missing: 0 };
    }
    const missing = seq - known.last - 1;
    known.last = seq;
    this.missing += missing;
    return { kind: missing ? "hole" : "next", missing };
  }
}
