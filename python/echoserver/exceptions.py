"""What can go wrong for whoever runs a server.

    Exception
    └── EchoServerError
        ├── BindError            also an OSError: the address can't be listened on
        ├── SendQueueFull        also a BufferError: the client does not read fast enough
        └── ClientClosed         also a ConnectionError: the client is gone

Arguments that are wrong in themselves raise TypeError, ValueError or OverflowError, a call in the wrong state
RuntimeError, and a wait that took too long TimeoutError, as everywhere in Python.
"""

__all__ = ["BindError", "ClientClosed", "EchoServerError", "SendQueueFull"]


class EchoServerError(Exception):
    """Base of the exceptions that only this package raises."""


class BindError(EchoServerError, OSError):
    """The server can't listen on its address: in use, not allowed, not of this machine, or its name is unknown.

    `errno` is the operating system's; the text names host, port and reason.
    """

    def __str__(self) -> str:
        # Without OSError's number in front: `errno` has it.
        return str(self.strerror)


class SendQueueFull(EchoServerError, BufferError):  # noqa: N818  # It says what is, as queue.Full does.
    """More than `max_send_queue` bytes already wait for this client; nothing was sent.

    `Client.flush()` waits for room.
    """


class ClientClosed(EchoServerError, ConnectionError):  # noqa: N818  # As above.
    """The close frame was sent or the connection has ended; nothing was sent, or nothing is left to be read.

    Where it comes from reading, `code` and `reason` are those of the close, as `Client.close_code` has them.
    """

    code: int | None = None
    reason: str | None = None
