"""QByteArray: what binary messages come as."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any

from echoserver.qt.builtin.names import absent

if TYPE_CHECKING:
    from typing import Self, SupportsIndex

    from typing_extensions import Buffer

__all__ = ["QByteArray"]


class QByteArray(bytearray):
    """Bytes that can be changed. Takes bytes-like objects, where PySide6's also takes a size and a character."""

    __slots__ = ()

    def data(self) -> bytes:
        """All of them."""
        return bytes(self)

    def size(self) -> int:
        """How many there are."""
        return len(self)

    length = size

    def isEmpty(self) -> bool:
        """Whether there are none."""
        return not self

    def isNull(self) -> bool:
        """The same: a null array is not told from an empty one."""
        return not self

    def append(self, other: Buffer, /) -> Self:  # type: ignore[override]
        """Adds `other` at the end."""
        self.extend(bytes(other))
        return self

    def prepend(self, other: Buffer, /) -> Self:
        """Adds `other` at the beginning."""
        self[0:0] = bytes(other)
        return self

    def startsWith(self, other: Buffer, /) -> bool:
        """Whether it begins with `other`."""
        return self.startswith(bytes(other))

    def endsWith(self, other: Buffer, /) -> bool:
        """Whether it ends with `other`."""
        return self.endswith(bytes(other))

    def contains(self, other: Buffer, /) -> bool:
        """Whether `other` is in it."""
        return self.find(bytes(other)) >= 0

    def indexOf(self, other: Buffer, /, from_: int = 0) -> int:
        """Where `other` is in it; -1 if nowhere."""
        return self.find(bytes(other), from_)

    def left(self, count: int, /) -> Self:
        """The first ones."""
        return type(self)(bytes(self)[:count] if count >= 0 else self)

    def mid(self, position: int, /, len: int = -1) -> Self:
        """Those from `position` on."""
        return type(self)(bytes(self)[position:] if len < 0 else bytes(self)[position : position + len])

    def right(self, count: int, /) -> Self:
        """The last ones."""
        return type(self)(bytes(self)[max(0, self.size() - count) :] if count >= 0 else self)

    def trimmed(self) -> Self:
        """Without spaces at both ends."""
        return type(self)(self.strip())

    def toUpper(self) -> Self:
        """With capital letters."""
        return type(self)(self.upper())

    def toLower(self) -> Self:
        """With small letters."""
        return type(self)(self.lower())

    def toHex(self) -> Self:
        """Two hexadecimal digits for each."""
        return type(self)(self.hex().encode())

    def toBase64(self) -> Self:
        """In base64."""
        return type(self)(b2a_base64(self, newline=False))

    def toStdString(self) -> str:
        """As text, from UTF-8."""
        return self.decode(errors="replace")

    @classmethod
    def fromHex(cls, text: Buffer, /) -> Self:
        """What two hexadecimal digits each say."""
        return cls(bytes.fromhex(bytes(text).decode()))

    @classmethod
    def fromBase64(cls, text: Buffer, /) -> Self:
        """What base64 says."""
        return cls(a2b_base64(bytes(text)))

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        # A byte is bytes, as in PySide6, not a number.
        return bytes((found,)) if isinstance(found, int) else type(self)(found)

    def __add__(self, other: Buffer) -> Self:
        return type(self)(bytes(self) + bytes(other))

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(bytes(self))

    def __str__(self) -> str:
        return str(bytes(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({bytes(self)!r})"

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent("QByteArray", name)
