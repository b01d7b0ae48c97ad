// The reference server of the Durable Streams protocol, in memory: `npm install @durable-streams/server`, then
// `node durable_streams_hub.cjs PORT`.
//
// PUT /v1/stream/T with Content-Type: application/json creates a stream, POST appends to it, GET ?offset=now&live=sse follows it.
const { DurableStreamTestServer } = require("@durable-streams/server");

new DurableStreamTestServer({ port: Number(process.argv[2]), host: "127.0.0.1" }).start();
