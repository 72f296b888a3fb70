"""The settings of permessage-deflate (RFC 7692)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Deflate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """How messages are compressed, for `EchoServer(compression=...)`; `"deflate"` there means all defaults.

    EchoServer checks the values: ValueError names the parameter that is out of its range.

    - `server_no_context_takeover`: the server compresses each message on its own. Larger messages, and no memory
      between two of them. A client that offers it gets it in any case (RFC 7692 section 7.1.1.1).
    - `client_no_context_takeover`: the client is told to do so (section 7.1.1.2).
    - `server_max_window_bits`: 9 to 15; the server refers to at most 2**bits bytes before (section 7.1.2.1). A client
      may ask for less, but not for 8, which zlib does not have: that offer is declined.
    - `client_max_window_bits`: 9 to 15; the same for the client (section 7.1.2.2). It can be told only if its offer
      names the parameter, as those of browsers do; else its window is the largest.
    - `level`: zlib's, 0 (stored) to 9; higher is smaller and slower.
    - `threshold`: messages of fewer bytes are sent uncompressed.

    While it is used, a client costs, in bytes, and charged to `memory_limit`: up to 2**client_max_window_bits between
    messages (nothing with client_no_context_takeover), 47 KiB while one of its messages is inflated, and 243 KiB plus
    four times 2**server_max_window_bits from its first compressed message on, or with server_no_context_takeover while
    one is compressed.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    level: int = 6
    threshold: int = 0
