"""What echoserver.qt needs of Qt, where there is no PySide6: small stand-ins of the same names.

`QtCore` and `QtNetwork` say which names there are. `loop` is a thread's event loop, `slots` and `signals` are what is
called in it, `objects` is QObject; the others are a class of Qt each.
"""
