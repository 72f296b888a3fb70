"""The headers of a client's upgrade request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Headers"]


class Headers(Mapping[str, str]):
    """Header fields by name, in any case; the values of a repeated field are joined by a comma (RFC 9110 section 5.3).

    Iterates over the names as they came, in their order. `Client.raw_headers` has the lines.
    """

    __slots__ = ("_fields",)

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        """From header lines: names and values."""
        self._fields: dict[str, tuple[str, str]] = {}
        for name, value in lines:
            first, so_far = self._fields.get(name.lower(), (name, None))
            self._fields[name.lower()] = (first, value if so_far is None else f"{so_far}, {value}")

    def __getitem__(self, name: str) -> str:
        """The value of the field `name`; KeyError if there is none."""
        try:
            return self._fields[name.lower()][1]
        except (KeyError, AttributeError):
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        """The names, as they came."""
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        """The number of different names."""
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({dict(self._fields.values())!r})"
