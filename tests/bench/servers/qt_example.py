"""Qt's echo server example, docs/examples/qt/echo.py. argv: PORT, and the Qt: `original`, `pyside6`, `builtin`.

`original` is PySide6's own QtWebSockets: of the program only the imports are changed.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "qt" / "echo.py"

port, variant = int(sys.argv[1]), sys.argv[2]
os.environ["ECHOSERVER_QT"] = "builtin" if variant == "builtin" else "pyside6"
signal.signal(signal.SIGTERM, signal.SIG_DFL)
source = EXAMPLE.read_text(encoding="utf-8")
if variant == "original":
    source = source.replace("from echoserver.qt.", "from PySide6.")
names: dict[str, Any] = {"__name__": "example"}
exec(compile(source, EXAMPLE, "exec"), names)
app = names["QCoreApplication"]([])
server = names["EchoServer"](port)
print("ready", flush=True)
sys.exit(app.exec())
