"""The Python examples of the README are run, each in a process of its own.

A block that begins with ```python is run; ```python no-test is not. A block that serves gets
Ctrl-C once it serves, which must end it; its port becomes a free one.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import TIMEOUT, finished, python

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README.read_text(encoding="utf-8")) if README.exists() else []

# Ends `serve()` as a user does; only the port is another one, so that examples can run anywhere, at any time.
PRELUDE = f"""
import _thread, threading, time
from echoserver import EchoServer

class _Free(EchoServer):
    def __init__(self, port=1234, *args, **options):
        super().__init__(0, *args, **options)

    def serve(self):
        def end():
            deadline = time.monotonic() + {TIMEOUT}
            while not self.is_serving and time.monotonic() < deadline:
                time.sleep(0.001)
            _thread.interrupt_main()
        threading.Thread(target=end, daemon=True).start()
        try:
            super().serve()
        except KeyboardInterrupt:
            pass

import echoserver
echoserver.EchoServer = _Free
"""


@pytest.mark.skipif(not README.exists(), reason="THERE IS NO README: its examples were not tested")
def test_the_readme_has_examples() -> None:
    assert BLOCKS


@pytest.mark.parametrize("code", BLOCKS, ids=[block.strip().splitlines()[-1][:40] for block in BLOCKS])
def test_an_example_of_the_readme_runs(code: str) -> None:
    status, out, err = finished(python(PRELUDE + code))
    assert (status, err) == (0, ""), out
