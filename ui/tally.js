// The data of charts and figures: one bucket per second for the last minute, with bounded memory at any rate.

export const SECONDS = 60;
const SAMPLES = 500;
const HOPS = ["schedule", "broker", "fanout"];

/** The quantile (0 to 1) of sorted numbers, by nearest rank; null if there are none. */
export function quantile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] : null;
}

const sortedBy = (events, read) => events.map(read).sort((a, b) => a - b);

export class Tally {
  received = 0;
  /** Events per replica, in order of first appearance. */
  servers = new Map();
  #buckets = new Map();
  #firstSecond = null;

  add(event, arrivedMs) {
    const second = Math.floor(arrivedMs / 1000);
    this.#firstSecond ??= second;
    this.received += 1;
    this.servers.set(event.server, (this.servers.get(event.server) ?? 0) + 1);
    let bucket = this.#buckets.get(second);
    if (!bucket) {
      bucket = { count: 0, events: [] };
      this.#buckets.set(second, bucket);
      for (const old of this.#buckets.keys()) if (old < second - SECONDS - 1) this.#buckets.delete(old);
    }
    bucket.count += 1;
    // Beyond SAMPLES per second, a uniform sample (reservoir): percentiles stay unbiased, memory bounded.
    const place = bucket.count <= SAMPLES ? bucket.events.length : Math.floor(Math.random() * bucket.count);
    if (place < SAMPLES) bucket.events[place] = event;
  }

  /** Events per second and latency quantiles (ms, null without events), oldest first, only whole seconds. */
  series(nowMs) {
    const last = Math.floor(nowMs / 1000) - 1;
    const points = [];
    for (let second = last - SECONDS + 1; second <= last; second += 1) {
      const bucket = this.#buckets.get(second);
      // The second in which the page was opened is incomplete.
      if (this.#firstSecond === null || second <= this.#firstSecond) points.push(null);
      else if (!bucket) points.push({ rate: 0, p50: null, p99: null });
      else points.push(this.#point(bucket));
    }
    return points;
  }

  /** Medians of the last seconds' latency, hops and rate; null before the first event. */
  recent(nowMs, seconds) {
    const last = Math.floor(nowMs / 1000);
    const events = [];
    for (let second = last - seconds; second <= last; second += 1) events.push(...(this.#buckets.get(second)?.events ?? []));
    if (!events.length) return null;
    const latencies = sortedBy(events, (event) => event.latencyMs);
    const hops = Object.fromEntries(HOPS.map((hop) => [hop, quantile(sortedBy(events, (event) => event.hops[hop]), 0.5)]));
    return { hops, lowestMs: latencies[0], p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
  }

  #point(bucket) {
    if (!bucket.point || bucket.point.rate !== bucket.count) {
      const latencies = sortedBy(bucket.events, (event) => event.latencyMs);
      bucket.point = { rate: bucket.count, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
    }
    return bucket.point;
  }
}
