"""One command to a Redis at a port of this machine, and its answer."""

import redis


def ask(port: int, *words: str):
    """The reply, bytes as text."""
    with redis.Redis(port=port, protocol=2, decode_responses=True, socket_timeout=5) as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            connection.disconnect()
