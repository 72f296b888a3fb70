"""The command line of the echo server's program."""

from __future__ import annotations

from echoserver.qt.QtCore import QCommandLineOption, QCommandLineParser
from qt_scripts import Say, script


def parsed(*arguments: str) -> tuple[QCommandLineParser, str]:
    parser = QCommandLineParser()
    parser.setApplicationDescription("An echo server")
    parser.addHelpOption()
    debug = QCommandLineOption(["d", "debug"], "Debug output [default: off].")
    port = QCommandLineOption(["p", "port"], "Port for echoserver [default: 1234].", "port", "1234")
    parser.addOption(debug)
    parser.addOption(port)
    good = parser.parse(["program", *arguments])
    return parser, f"{good} {parser.isSet(debug)} {parser.value(port)} {parser.positionalArguments()}"


@script(
    "True False 1234 []", "True True 1234 []", "True False 1 []", "True False 2 []", "True True 3 []",
    "True False 4 []", "True False 5 []", "True False 1234 ['a', 'b']", "True False 1234 ['-d']", "True False 7 []",
)  # fmt: skip
def options_in_all_their_forms(say: Say) -> None:
    for line in ("", "-d", "-p 1", "-p2", "-dp 3", "--port 4", "--port=5", "a b", "-- -d", "-p 6 -p 7"):
        say(parsed(*line.split())[1])


@script("False ['x']", "False []", "False ['nonsense']", "False []")
def what_is_wrong_with_them(say: Say) -> None:
    for line in ("-x", "-p", "--nonsense", "--debug=1"):
        parser, text = parsed(*line.split())
        say(text.split()[0], parser.unknownOptionNames())
        assert parser.errorText()


@script("True", "['h', 'help']", "True True")
def help_names_the_options(say: Say) -> None:
    parser, _ = parsed("-h")
    say(parser.isSet("help"))
    say(parser.addVersionOption() is not None and QCommandLineOption(["h", "help"]).names())
    text = parser.helpText()
    say("An echo server" in text, all(word in text for word in ("-d, --debug", "-p, --port <port>", "-h, --help")))
