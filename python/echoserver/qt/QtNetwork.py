"""QtNetwork, as programs import it: PySide6's own module, or the stand-ins. Type checkers see the stand-ins."""

import sys

from echoserver.qt._choice import module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from echoserver.qt.builtin.QtNetwork import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]
else:
    sys.modules[__name__] = module("QtNetwork")
