"""Clients that wait for the server's close frame and answer it: PORT N. Prints how many were told 1001."""

import selectors
import socket
import struct
import sys

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GOING_AWAY = struct.pack("!H", 1001)
# A masked close frame whose masking key is 0.
ANSWER = b"\x88\x82" + bytes(4) + GOING_AWAY


def connect(port: int) -> socket.socket:
    """A client that has been upgraded."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(REQUEST)
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        part = client.recv(4096)
        if not part:
            sys.exit("not upgraded")
        response += part
    return client


def main() -> None:
    port, count = map(int, sys.argv[1:])
    selector = selectors.DefaultSelector()
    for _ in range(count):
        selector.register(connect(port), selectors.EVENT_READ)
    print("connected", flush=True)
    told = 0
    while selector.get_map():
        for key, _ in selector.select():
            client = key.fileobj
            assert isinstance(client, socket.socket)
            received = client.recv(4096)
            if received[:1] == b"\x88" and received[2:4] == GOING_AWAY:
                told += 1
                client.sendall(ANSWER)
            elif not received:
                selector.unregister(client)
                client.close()
    print(told)


if __name__ == "__main__":
    main()
