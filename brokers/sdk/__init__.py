"""What an adapter in another package imports from fanbench; these names are stable.

`brokers.sdk.testing` has the conformance kit, which only tests need. docs/adapters.md explains both.
"""

from brokers.api import (
    Adapter,
    BeginsPublishing,
    CleansUp,
    Consumer,
    Delivery,
    Done,
    Gap,
    GivesBatches,
    LinkState,
    Message,
    PassesOn,
    Producer,
    Take,
)
from brokers.connection import Calls, ProducerConnection, publish_error
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import RUN_NAME, Address, Endpoint
from brokers.errors import (
    BrokerError,
    CauseKind,
    Reaction,
    Refusal,
    TopicRefusedError,
    reaction_to,
    refusal_of,
    refuse_history,
    standard_kind,
)
from brokers.inbox import BUFFER, Inbox
from brokers.link import Link
from brokers.log_reader import LogReader
from brokers.options import Option, choice, file, flag, seconds, text, whole_number
from brokers.reconnect import ReconnectLoop, delays_s, finish, heartbeat_s, keep_up, quietly, reason, uncancelled
from brokers.tls import OPTIONS as TLS_OPTIONS
from brokers.tls import tls_context
from brokers.topic_names import TopicNames

__all__ = [
    "BUFFER",
    "RUN_NAME",
    "TLS_OPTIONS",
    "Adapter",
    "Address",
    "BeginsPublishing",
    "BrokerError",
    "Calls",
    "CauseKind",
    "CleansUp",
    "Consumer",
    "ConsumerConnection",
    "Delivery",
    "Done",
    "Endpoint",
    "Gap",
    "GivesBatches",
    "Inbox",
    "Link",
    "LinkState",
    "LogReader",
    "Message",
    "Option",
    "PassesOn",
    "Producer",
    "ProducerConnection",
    "Reaction",
    "ReconnectLoop",
    "Refusal",
    "Take",
    "TopicNames",
    "TopicRefusedError",
    "choice",
    "delays_s",
    "file",
    "finish",
    "flag",
    "heartbeat_s",
    "keep_up",
    "publish_error",
    "quietly",
    "reaction_to",
    "reason",
    "refusal_of",
    "refuse_history",
    "seconds",
    "standard_kind",
    "text",
    "tls_context",
    "uncancelled",
    "whole_number",
]
