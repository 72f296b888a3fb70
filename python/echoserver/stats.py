"""The counters of a server."""

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a server has done so far: counters that only grow, except `memory_used`.

    They are read one after the other while the server works, so they need not fit each other to the last message. With
    `record` none of them is behind what has been seen of clients.
    """

    connections_accepted: int
    """TCP connections that were accepted."""
    accept_errors: int
    """Failed attempts to accept one, such as for want of descriptors."""
    handshakes_refused: int
    """Requests that were refused: answered with something other than 101, and no `http_requests`; logged at INFO.

    Also connections of `proxy_from` without a good PROXY header, which get no answer.
    """
    http_requests: int
    """Ordinary HTTP requests, which asked for no WebSocket: GET and HEAD."""
    tls_failures: int
    """Connections whose TLS failed, at the handshake or later; each is logged at INFO."""
    clients_opened: int
    """Clients: upgrades that were answered with 101."""
    clients_closed: int
    """Clients that are gone."""
    text_messages_received: int
    """Text messages received."""
    binary_messages_received: int
    """Binary messages received."""
    messages_sent: int
    """Messages sent, of both kinds: echoes, replies and what the application sent."""
    text_messages_sent: int
    """Text messages sent."""
    binary_messages_sent: int
    """Binary messages sent."""
    text_bytes_received: int
    """Bytes of the text messages received, inflated and without frame headers."""
    binary_bytes_received: int
    """The same of binary messages."""
    text_bytes_sent: int
    """Bytes of the text messages sent, before they were compressed and framed."""
    binary_bytes_sent: int
    """The same of binary messages."""
    bytes_received: int
    """Bytes received after the upgrade, with frame headers."""
    bytes_sent: int
    """Bytes sent after the upgrade, with frame headers."""
    pings_received: int
    """Pings received; each was answered with a pong."""
    pongs_received: int
    """Pongs received."""
    violations: int
    """Connections failed for what the client sent: close codes 1002, 1007, 1009 and 1013."""
    callback_errors: int
    """Callbacks that raised or returned what is no reply."""
    memory_used: int
    """Bytes charged to `memory_limit` at the moment."""
