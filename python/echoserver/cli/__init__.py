"""The program `echoserver`: an EchoServer from the command line."""

from echoserver.cli.run import main

__all__ = ["main"]
