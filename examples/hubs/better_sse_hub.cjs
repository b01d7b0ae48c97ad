// A typical hub with better-sse: `npm install better-sse`, then `node better_sse_hub.cjs PORT`.
//
// POST /publish?topic=T sends to everybody at /sse?topic=T: a channel for each topic. The published text is sent unchanged:
// better-sse's own serializer is JSON.stringify, and JavaScript would round fanbench's nanoseconds.
const { createServer } = require("node:http");
const { text } = require("node:stream/consumers");
const { createChannel, createSession } = require("better-sse");

const channels = new Map();

function channelOf(topic) {
  if (!channels.has(topic)) channels.set(topic, createChannel());
  return channels.get(topic);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const channel = channelOf(searchParams.get("topic") ?? "events");
  if (request.method === "GET" && pathname === "/sse") {
    channel.register(await createSession(request, response, { serializer: (data) => data }));
  } else if (request.method === "POST" && pathname === "/publish") {
    channel.broadcast(await text(request));
    response.writeHead(202).end();
  } else {
    response.writeHead(404).end();
  }
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
