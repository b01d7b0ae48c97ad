"""Pushpin, and the small app behind it that holds its streams open: `python examples/hubs/pushpin_hub.py PORT CONTROL_PORT`.

Clients listen at /sse?topic=T of the first port. Events are published in Pushpin's format, by POST /publish/ at the second, to channel T. It imports nothing
from fanbench.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CONFIG = """
[global]
include={{libdir}}/internal.conf
rundir={folder}
ipc_prefix=p-
port_offset=0

[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={folder}
log_level=1
client_buffer_size=8192
client_maxconn=16384

[proxy]
routesfile=routes
updates_check=off
zurl_out_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in
zurl_out_stream_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream
zurl_in_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-out

[handler]
push_in_spec=ipc://{{rundir}}/{{ipc_prefix}}push
push_in_sub_specs=ipc://{{rundir}}/{{ipc_prefix}}sub
push_in_http_addr=127.0.0.1
push_in_http_port={control_port}
push_in_http_max_body_size=1000000
stats_spec=ipc://{{rundir}}/{{ipc_prefix}}stats
command_spec=ipc://{{rundir}}/{{ipc_prefix}}command
message_rate=1000000
message_hwm=1000000
"""
"""Sockets in a separate folder, and a message limit that no measurement reaches; the default is 2,500 per second."""
OPEN = b": open\n\n"


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer Pushpin's requests: hold each stream open, and add what is published to the channel."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            query = urlsplit(head.split(b" ", 2)[1].decode()).query
            topic = parse_qs(query).get("topic", ["events"])[0]
            fields = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", f"Content-Length: {len(OPEN)}"]
            fields += [
                "Grip-Hold: stream",
                f"Grip-Channel: {topic}",
                "Grip-Keep-Alive: :\\n\\n; format=cstring; timeout=15",
            ]
            writer.write("\r\n".join(fields).encode() + b"\r\n\r\n" + OPEN)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(port: int, control_port: int, folder: Path) -> int:
    """Run both until Pushpin ends or a signal ends it."""
    app = await asyncio.start_server(hold, "127.0.0.1", 0, backlog=4096)
    (folder / "routes").write_text(f"* 127.0.0.1:{app.sockets[0].getsockname()[1]}\n")
    config = folder / "pushpin.conf"
    config.write_text(CONFIG.format(port=port, control_port=control_port, folder=folder))
    pushpin = await asyncio.create_subprocess_exec("pushpin", f"--config={config}", "--merge-output")
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, pushpin.terminate)
    return await pushpin.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pushpin-") as name:  # short: a socket's path may have 107 characters
        sys.exit(asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(name))))
