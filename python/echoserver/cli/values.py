"""What options of the command line take: ports, sizes, numbers. An ArgumentTypeError says what is wrong with one."""

from __future__ import annotations

import argparse
import re
from typing import Final

from echoserver._core import shown

__all__ = ["UNITS", "count", "mode", "port", "seconds", "size"]

UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30
}  # fmt: skip


def port(text: str) -> int:
    """A number from 0 to 65535."""
    try:
        number = _int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFF:  # noqa: PLR2004  # What a port is.
        raise argparse.ArgumentTypeError(f"{shown(text)} is no port: 0 to 65535, 0 for a free one")
    return number


def size(text: str) -> int:
    """Bytes, with or without a unit."""
    match = re.fullmatch(r"(\d+) ?([kKmMgG]?[iI]?[bB]?)", text, re.ASCII)
    unit = UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is no size: a number of bytes, or one with kB, MB, GB, KiB, MiB, GiB"
        )
    return _int(match[1]) * unit


def _int(text: str) -> int:
    """As `int`, which reads 4,300 digits at most, and says of more only that there is no number."""
    try:
        return int(text)
    except ValueError:
        if text.strip().lstrip("+-").isdecimal():
            raise argparse.ArgumentTypeError(f"{shown(text)} has too many digits") from None
        raise


def seconds(text: str) -> float:
    """A number, which may have a fraction."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of seconds") from None


def mode(text: str) -> int:
    """Permissions of a file, as chmod has them."""
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise argparse.ArgumentTypeError(f"{shown(text)} are no permissions: three digits from 0 to 7, such as 660")
    return int(text, 8)


def count(text: str) -> int:
    """A whole number."""
    try:
        return _int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number") from None
