"""What clients did, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echoserver._core import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from echoserver._core import Client, Record

__all__ = ["transcript"]

# Lines at most; of more, the first and the last are made.
_LINES = 200


def transcript(record: Record, unanswered: Iterable[Client]) -> str:
    """A line for each event of `record`, and what became of the clients that were left."""
    first, left_out, last, is_cut = record.story(_LINES)
    lines = [
        f"{time - first[0][0]:8.3f}  {_told(what, client, detail)}" for time, what, client, detail in (*first, *last)
    ]
    if left_out:
        lines.insert(len(first), f"          ... {left_out} more ...")
    if is_cut:
        lines.append("more came than is recorded")
    if not lines:
        lines.append("no request came")
    lines.extend(f"did not answer the close: {client!r}" for client in unanswered)
    return "\n".join(lines)


def _told(what: str, client: int | None, detail: Any) -> str:
    match what:
        case "request":
            target = f"{detail.path}?{detail.query}" if detail.query else detail.path
            host, port = detail.peer
            # On a Unix socket nobody has a port.
            peer = f"{host}:{port}" if port else host
            return f"{detail.method} {target} from {peer}: {detail.status or 'not answered'}"
        case "opened":
            return f"client {client} is connected"
        case "message":
            return f"client {client} sent {shown(detail)}"
        case "pong":
            return f"client {client} sent a pong with {shown(detail)}"
        case _:
            code, reason = detail
            return f"client {client} is closed: {code}{f' {reason!r}' if reason else ''}"
