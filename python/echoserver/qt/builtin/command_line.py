"""QCommandLineParser and QCommandLineOption, as the echo server's program uses them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from echoserver.qt.builtin.application import QCoreApplication
from echoserver.qt.builtin.names import absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["QCommandLineOption", "QCommandLineParser"]


class QCommandLineOption:
    """An option: its names, what it is for, and whether it takes a value."""

    def __init__(
        self, names: str | Sequence[str], description: str = "", valueName: str = "", defaultValue: str = ""
    ) -> None:
        self._names = [names] if isinstance(names, str) else list(names)
        self._description, self._value_name = description, valueName
        self._defaults = [defaultValue] if defaultValue else []

    def names(self) -> list[str]:
        """Without dashes."""
        return list(self._names)

    def description(self) -> str:
        """What it is for."""
        return self._description

    def valueName(self) -> str:
        """What its value is called; "" if it takes none."""
        return self._value_name

    def defaultValues(self) -> list[str]:
        """What it is when it is not given."""
        return list(self._defaults)

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent(type(self).__name__, name)


class QCommandLineParser:
    """Reads options: `-d`, `-p 1234`, `-p1234`, `-dp 1234`, `--port 1234`, `--port=1234`; `--` ends them."""

    def __init__(self) -> None:
        self._options: list[QCommandLineOption] = []
        self._arguments: list[tuple[str, str]] = []
        self._description = ""
        self._help: QCommandLineOption | None = None
        self._version: QCommandLineOption | None = None
        self._forget()

    def _forget(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._positional: list[str] = []
        self._unknown: list[str] = []
        self._error = ""

    def addOption(self, option: QCommandLineOption, /) -> bool:
        """Knows it from now on; False if one of its names is taken."""
        if not option.names() or any(self._named(name) for name in option.names()):
            return False
        self._options.append(option)
        return True

    def addOptions(self, options: Iterable[QCommandLineOption], /) -> bool:
        """All of them; False if one of them could not be."""
        added = [self.addOption(option) for option in options]
        return all(added)

    def addHelpOption(self) -> QCommandLineOption:
        """Adds `-h`, `--help` and `--help-all`, which `process()` answers."""
        self._help = QCommandLineOption(["h", "help"], "Displays help on commandline options.")
        self.addOption(self._help)
        self.addOption(QCommandLineOption("help-all", "Displays help, including generic Qt options."))
        return self._help

    def addVersionOption(self) -> QCommandLineOption:
        """Adds `-v` and `--version`, which `process()` answers."""
        self._version = QCommandLineOption(["v", "version"], "Displays version information.")
        self.addOption(self._version)
        return self._version

    def addPositionalArgument(self, name: str, description: str, /, syntax: str = "") -> None:
        """Names one in the help."""
        self._arguments.append((syntax or name, description))

    def setApplicationDescription(self, description: str, /) -> None:
        """What the help says first."""
        self._description = description

    def applicationDescription(self) -> str:
        """The same."""
        return self._description

    def process(self, arguments: QCoreApplication | Sequence[str], /) -> None:
        """Reads what the program was given. Help, version and errors end it, with status 0, 0 and 1 (SystemExit)."""
        given = arguments.arguments() if isinstance(arguments, QCoreApplication) else list(arguments)
        if not self.parse(given):
            print(f"{QCoreApplication.applicationName()}: {self._error}", file=sys.stderr)
            raise SystemExit(1)
        if self._version and self.isSet(self._version):
            self.showVersion()
        if self._help and (self.isSet(self._help) or self.isSet("help-all")):
            self.showHelp()

    def parse(self, arguments: Sequence[str], /) -> bool:
        """Reads arguments, of which the first is the program; False for an error, which is `errorText()` then."""
        self._forget()
        rest = iter(list(arguments)[1:])
        for word in rest:
            if word == "--":
                self._positional += rest
            elif word.startswith("--"):
                name, has_value, value = word[2:].partition("=")
                self._take(name, value if has_value else None, rest)
            elif word.startswith("-") and word != "-":
                self._take_letters(word[1:], rest)
            else:
                self._positional.append(word)
        if self._unknown and not self._error:
            many = len(self._unknown) > 1
            self._error = f"Unknown option{'s' * many}: {', '.join(self._unknown)}" + "." * (not many)
            self._error = self._error.replace(f": {self._unknown[0]}.", f" '{self._unknown[0]}'.")
        return not self._error

    def _take(self, name: str, value: str | None, rest: Iterable[str]) -> None:
        option = self._named(name)
        if option is None:
            self._unknown.append(name)
            return
        if option.valueName():
            value = next(iter(rest), None) if value is None else value
            if value is None:
                self._error = self._error or f"Missing value after '{'-' * (1 + (len(name) > 1))}{name}'."
                return
        elif value is not None:
            self._error = self._error or f"Unexpected value after '--{name}'."
            return
        self._found.setdefault(option.names()[0], []).append(value or "")

    def _take_letters(self, letters: str, rest: Iterable[str]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._named(letter)
            if option is not None and option.valueName() and letters:
                self._take(letter, letters.removeprefix("="), rest)
                return
            self._take(letter, None, rest)

    def _named(self, name: str) -> QCommandLineOption | None:
        return next((option for option in self._options if name in option.names()), None)

    def _option(self, option: QCommandLineOption | str) -> QCommandLineOption | None:
        found = self._named(option if isinstance(option, str) else (option.names() or [""])[0])
        if found is None:
            print(f"QCommandLineParser: option not defined: {option!r}", file=sys.stderr)
        return found

    def isSet(self, option: QCommandLineOption | str, /) -> bool:
        """Whether it was given."""
        found = self._option(option)
        return found is not None and found.names()[0] in self._found

    def value(self, option: QCommandLineOption | str, /) -> str:
        """The last value given, or its default, or ""."""
        return (self.values(option) or [""])[-1]

    def values(self, option: QCommandLineOption | str, /) -> list[str]:
        """All values given, or its defaults."""
        found = self._option(option)
        return [] if found is None else list(self._found.get(found.names()[0], found.defaultValues()))

    def positionalArguments(self) -> list[str]:
        """What is no option, nor the value of one."""
        return list(self._positional)

    def unknownOptionNames(self) -> list[str]:
        """Those that nobody added."""
        return list(self._unknown)

    def errorText(self) -> str:
        """What was wrong, for whoever has started the program."""
        return self._error

    def showHelp(self, exitCode: int = 0, /) -> NoReturn:
        """Prints it and ends the program (SystemExit)."""
        print(self.helpText(), end="")
        raise SystemExit(exitCode)

    def showVersion(self) -> NoReturn:
        """Prints name and version and ends the program (SystemExit)."""
        print(QCoreApplication.applicationName(), QCoreApplication.applicationVersion())
        raise SystemExit(0)

    def helpText(self) -> str:
        """What `showHelp()` prints."""
        rows = [(", ".join(map(_dashed, option.names())) + _value(option), option.description())
                for option in self._options]  # fmt: skip
        width = max((len(left) for left, _ in rows), default=0)
        arguments = "".join(f" {syntax}" for syntax, _ in self._arguments)
        lines = [f"Usage: {QCoreApplication.applicationName()} [options]{arguments}"]
        lines += [self._description] * bool(self._description)
        lines += ["", "Options:", *(f"  {left:<{width}}  {right}".rstrip() for left, right in rows)]
        if self._arguments:
            width = max(len(syntax) for syntax, _ in self._arguments)
            lines += ["", "Arguments:", *(f"  {syntax:<{width}}  {text}".rstrip() for syntax, text in self._arguments)]
        return "\n".join([*lines, ""])

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent(type(self).__name__, name)


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _value(option: QCommandLineOption) -> str:
    return f" <{option.valueName()}>" if option.valueName() else ""
