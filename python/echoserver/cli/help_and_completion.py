"""The options that explain the others: `--help`, `--help-all`, and completions for shells."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any, Final

__all__ = ["add_arguments"]

# What most people need, who have `--help-all` for the rest.
_FIRST: Final = {
    *("--port", "--host", "--origin", "--subprotocol", "--deflate", "--tls", "--certfile", "--keyfile"),
    *("--fault", "--trace", "--json", "--debug", "--version", "--help", "--help-all"),
}


class _Help(argparse.Action):
    """Prints the help: of the first options, or of all."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        if self.const:
            for action in parser._actions:  # argparse has no other way.
                if _FIRST.isdisjoint(action.option_strings):
                    action.help = argparse.SUPPRESS
        parser.print_help()
        parser.exit()


class _Completion(argparse.Action):
    """Prints what a shell needs to complete the options."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: object, values: Any, _option: object = None
    ) -> None:
        try:
            # Few need it, so it is no dependency.
            shtab = importlib.import_module("shtab")
        except ImportError:
            raise argparse.ArgumentError(self, "needs shtab: `pip install shtab`") from None
        # The clients read what they are given themselves, so the server's parser knows nothing of them.
        from echoserver.cli import load, send

        clients = parser.add_subparsers()
        for name, client in (("send", send.parser()), ("load", load.parser())):
            # As shtab wants it: in one line, and with its name.
            text = (client.description or "").partition(".")[0]
            made = clients.add_parser(name, parents=[client], add_help=False, help=text, description=text)
            made.prog = f"{parser.prog} {name}"
            _complete_files(made, shtab.FILE)
        _complete_files(parser, shtab.FILE)
        parser._print_message(f"{shtab.complete(parser, shell=values)}\n", sys.stdout)  # As it prints its help.
        parser.exit()


def _complete_files(parser: argparse.ArgumentParser, how: object) -> None:
    for action in parser._actions:
        if action.metavar == "FILE":
            action.complete = how  # type: ignore[attr-defined]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = parser.add_argument_group("more")
    group.add_argument("-h", "--help", action=_Help, nargs=0, const=True, help="show the most used options and exit")
    group.add_argument("--help-all", action=_Help, nargs=0, const=False, help="show all options and exit")
    group.add_argument(
        "--print-completion",
        action=_Completion,
        choices=["bash", "zsh", "tcsh"],
        help="print what completes these options in this shell, and exit; needs shtab",
    )
