// `node better_sse.mjs PORT`, better-sse on Node's http server with one channel; the line is sent unchanged, not encoded as JSON.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createChannel, createSession } from "better-sse";

const channel = createChannel();
const server = createServer(async (request, response) => {
  channel.register(await createSession(request, response, { serializer: (line) => line }));
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });

createInterface({ input: process.stdin })
  .on("line", (line) => channel.broadcast(line))
  .on("close", () => process.exit(0));
