"""One worker: runs cases one after the other, a connection each, and writes their results as JSON to stdout.

    client.py URL CASE_TIMEOUT CASE ...

Puts the suite's classes to use and guards the belief in them: here the text of the cases becomes octets and back, what
a case sends is compared with golden.json, and whatever goes wrong in the harness makes an ERROR, never an OK.
"""
# ruff: noqa: ARG002, ARG005, N802, N803, N815, PLR0913, PLR0917 - names and arguments are the engine's

import hashlib
import json
import sys
import traceback
import zlib
from typing import Any

from autobahntestsuite import fuzzing
from autobahntestsuite._compat import octets
from suite import Result, golden
from twisted.internet import reactor
from twisted.logger import globalLogBeginner


def repeat(unit: bytes, length: int) -> bytes:
    if not unit:
        raise ValueError("cannot repeat an empty payload")
    return (unit * (length // len(unit) + 1))[:length]


def works_on_bytes(case: Any) -> bool:
    return type(case).__name__.startswith(("Case12_", "Case13_"))


def expected_echo(case: Any) -> bytes | None:
    """What the 9.* cases must get back; the suite itself only looks at the length."""
    if not type(case).__name__.startswith("Case9_"):
        return None
    if hasattr(case, "LEN"):
        return repeat(b"\xfe" if case.BINARY else b"*", case.LEN)
    return repeat(octets(case.PAYLOAD), case.DATALEN)


def shown(data: str | bytes, *_: object) -> str:
    return ascii(octets(data[:64])) + (" ..." if len(data) > 64 else "")


class Protocol(fuzzing.FuzzingClientProtocol):
    """A case's connection: the boundary between its latin-1 text and the engine's octets."""

    opened = False
    digest: str | None = None  # of what the case sends while the connection opens
    recorder: Any = None
    is_recording = True
    sent_at_open = 0
    echo: bytes | None = None
    is_echo_wrong = False
    limit: Any = None
    is_over_limit = False

    # The wire log would only cost time: nobody reads it.
    createWirelog = property(lambda self: False, lambda self, wanted: None)

    def record(self, tag: str, payload: bytes) -> None:
        if self.recorder is not None and self.is_recording:
            self.sent_at_open += 1
            self.recorder.update(f"{tag} {len(payload)}|".encode() + payload)

    def sendFrame(
        self,
        opcode: int,
        payload: str | bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: Any = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        payload = octets(payload)
        if payload_len is not None:
            payload = repeat(payload, payload_len)
        self.record(f"F {opcode} {int(bool(fin))} {rsv} {chopsize or 0} {int(bool(sync))}", payload)
        super().sendFrame(opcode, payload, fin, rsv, mask, None, chopsize, sync)

    def sendMessage(
        self,
        payload: str | bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        payload = octets(payload)
        if self._perMessageCompress is not None:
            # The message is recorded instead of its frames, which depend on what was negotiated.
            self.record(f"M {int(bool(isBinary))}", payload)
            self.is_recording = False
        try:
            super().sendMessage(payload, isBinary, fragmentSize, sync, doNotCompress)
        finally:
            self.is_recording = True

    def beginMessageFrame(self, length: int) -> None:
        self.record(f"B {length}", b"")
        super().beginMessageFrame(length)

    def sendMessageFrameData(self, payload: str | bytes, sync: bool = False) -> Any:
        payload = octets(payload)
        self.record("D", payload)
        return super().sendMessageFrameData(payload, sync)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: Any = None, isReply: bool = False) -> None:
        reason = None if reasonUtf8 is None else octets(reasonUtf8)
        super().sendCloseFrame(code=code, reasonUtf8=reason, isReply=isReply)

    def onMessage(self, msg: bytes, binary: bool) -> None:
        super().onMessage(msg if works_on_bytes(self.runCase) else msg.decode("latin-1"), binary)
        if self.echo is not None and msg != self.echo:
            self.is_echo_wrong = True

    def onPong(self, payload: bytes) -> None:
        super().onPong(payload.decode("latin-1"))

    def connectionMade(self) -> None:
        self.echo = expected_echo(self.runCase)
        super().connectionMade()

    def onOpen(self) -> None:
        self.opened = True
        self.limit = reactor.callLater(self.factory.case_timeout, self.abort)
        self.recorder = hashlib.sha256()
        try:
            super().onOpen()
        finally:
            self.digest = self.recorder.hexdigest()[:24]
            self.recorder = None

    def abort(self) -> None:
        self.is_over_limit = True
        self.transport.abortConnection()

    def connectionLost(self, reason: Any) -> None:
        if self.limit is not None and self.limit.active():
            self.limit.cancel()
        try:
            super().connectionLost(reason)
        except Exception as error:
            # Without a result the next case would never start.
            self.factory.faults.append(f"when the case ended: {traceback.format_exception_only(error)[-1].strip()}")
            self.factory.store(None)


class Factory(fuzzing.FuzzingClientFactory):
    """The list of cases: makes a connection for each, judges what the suite cannot, and keeps the results."""

    def __init__(self, url: str, case_timeout: float, cases: list[str]) -> None:
        self.case_timeout = case_timeout
        self.golden = golden()
        self.results: dict[str, Result] = {}
        self.faults: list[str] = []
        self.undecodable: str | None = None
        self.proto: Protocol | None = None
        self.attempts = 0
        servers = [{"agent": "server", "url": url}]
        super().__init__({"cases": cases, "exclude-cases": [], "exclude-agent-cases": {}, "servers": servers})

    def observe(self, event: dict[str, Any]) -> None:
        """Sees every exception inside the reactor: octets that cannot be decoded are the server's, all else is ours."""
        failure = event.get("log_failure")
        if failure is None:
            return
        text = f"{failure.type.__name__}: {failure.getErrorMessage()}"
        if failure.check(zlib.error, UnicodeDecodeError):
            self.undecodable = text
        else:
            self.faults.append(text)

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.attempts = 0
        self.faults = []
        self.undecodable = None
        self.proto = proto = Protocol()
        proto.factory = self
        proto.caseAgent = self.agent
        proto.case = self.currentCaseIndex
        proto.Case = fuzzing.Cases[self.currentCaseIndex - 1]
        try:
            proto.runCase = proto.Case(proto)
        except Exception as error:
            # None drops the connection, and the next case follows.
            self.faults.append(f"cannot set the case up: {error!r}")
            return None
        return proto

    def logCase(self, result: dict[str, Any]) -> None:
        self.store(result)

    def store(self, result: dict[str, Any] | None) -> None:
        """Keeps the result of the case that ended; None when the suite has none."""
        behavior, detail = self.judge(result or {})
        self.results[self.currentCaseId] = {
            "behavior": behavior,
            "behaviorClose": (result or {}).get("behaviorClose", "ERROR"),
            "remoteCloseCode": (result or {}).get("remoteCloseCode"),
            "detail": detail,
            "milliseconds": (result or {}).get("duration", 0),
        }

    def judge(self, result: dict[str, Any]) -> tuple[str, str]:
        proto = self.proto
        behavior = result.get("behavior", "ERROR")
        if proto.opened and behavior != "UNIMPLEMENTED":
            if not proto.sent_at_open:
                self.faults.append("the case sent nothing")
            if proto.digest != self.golden[self.currentCaseId]:
                self.faults.append("the case did not send what the original sends")
        if self.faults:
            return "ERROR", "harness fault: " + "; ".join(self.faults)
        if not proto.opened:
            return "FAILED", f"opening handshake: {proto.wasNotCleanReason or 'connection lost'}"
        if proto.is_over_limit:
            return "FAILED", f"did not end within {self.case_timeout:g} s"
        if self.undecodable:
            return "FAILED", f"received octets cannot be decoded: {self.undecodable}"
        if proto.is_echo_wrong and behavior == "OK":
            return "FAILED", "the echo's content differs from what was sent"
        return behavior, f"{result['result']} {result['resultClose']}. Received: {result['received'][:4]}"

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        if self.currentCaseId not in self.results:
            self.faults.append("no result was recorded")
            self.store(None)
        if self.nextCase():
            connector.connect()
        else:
            reactor.stop()

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        # A server may be busy with its backlog for a moment; one that is gone leaves the remaining cases MISSING.
        self.attempts += 1
        if self.attempts < 10:
            reactor.callLater(0.2, connector.connect)
        else:
            print(f"cannot connect for case {self.currentCaseId}: {reason.getErrorMessage()}", file=sys.stderr)
            reactor.stop()


def main(url: str, case_timeout: str, *cases: str) -> None:
    fuzzing.print = lambda *_: None
    fuzzing.asciiLogData = shown
    factory = Factory(url, float(case_timeout), list(cases))
    globalLogBeginner.beginLoggingTo([factory.observe], redirectStandardIO=False, discardBuffer=True)
    reactor.run()
    json.dump(factory.results, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
