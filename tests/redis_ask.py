"""Sends one command to a Redis on a port of this machine."""

import redis


def ask(port: int, *words: str):
    """The reply, with bytes as text."""
    with redis.Redis(port=port, protocol=2, decode_responses=True, socket_timeout=5) as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            connection.disconnect()
