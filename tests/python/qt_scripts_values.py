"""QByteArray, QUrl, QHostAddress, QNetworkRequest."""

from __future__ import annotations

from typing import Any

from echoserver.qt.QtCore import QByteArray, Qt, QUrl
from echoserver.qt.QtNetwork import QAbstractSocket, QHostAddress, QNetworkRequest
from qt_scripts import Say, script


@script("b'abc'", "3 3 3 False True", "True False", "b'a' b'bc'", "b'616263' b'YWJj'", "b'abcd' b'xabcd'", "True")
def bytes_and_what_can_be_asked_of_them(say: Say) -> None:
    data = QByteArray(b"abc")
    say(data)
    say(data.size(), data.length(), len(data), data.isEmpty(), QByteArray().isEmpty())
    say(data.startsWith(b"a"), data.endsWith(b"a"))
    say(data[0], data[1:])
    say(data.toHex(), data.toBase64())
    data.append(b"d")
    say(data, QByteArray(b"x") + data)
    say(data == QByteArray(b"abcd") and data == b"abcd" and hash(data) == hash(QByteArray(b"abcd")))


@script("b'abc' b'abc' b'abc'", "abc", "True True -1 1", "b'ab' b'bc' b'b'", "b'ABC'", "b'abc' b'abc'", "b'a'")
def bytes_come_from_and_become_others(say: Say) -> None:
    data = QByteArray(b"abc")
    say(bytes(data), data.data(), bytes(memoryview(data)))
    say(data.toStdString())
    say(data.contains(b"b"), b"b" in data.data(), data.indexOf(b"x"), data.indexOf(b"b"))
    say(data.left(2), data.right(2), data.mid(1, 1))
    say(data.toUpper())
    say(QByteArray.fromHex(b"616263"), QByteArray.fromBase64(b"YWJj"))
    say(QByteArray(b" a ").trimmed())


@script("ws://127.0.0.1:1234/a?b=c", "ws 127.0.0.1 1234 /a b=c", "-1 80", "True False True", "True", "wss://[::1]:5/x")
def a_url_and_its_parts(say: Say) -> None:
    url = QUrl("ws://127.0.0.1:1234/a?b=c")
    say(url.toString())
    say(url.scheme(), url.host(), url.port(), url.path(), url.query())
    say(QUrl("ws://host/").port(), QUrl("ws://host/").port(80))
    say(url.isValid(), QUrl("").isValid(), QUrl().isEmpty())
    say(url == QUrl("ws://127.0.0.1:1234/a?b=c"))
    made = QUrl()
    made.setScheme("wss")
    made.setHost("::1")
    made.setPort(5)
    made.setPath("/x")
    say(made.toString())


@script("0.0.0.0 :: 0.0.0.0 127.0.0.1 ::1 255.255.255.255 ''", "AnyIPProtocol IPv4Protocol IPv6Protocol Unknown...",
        "True False", "True True False", "127.0.0.1 ::1 ::ffff:127.0.0.1", "True", "False", "True 0.0.0.0",
        "fe80::1")  # fmt: skip
def addresses(say: Say) -> None:
    special = QHostAddress.SpecialAddress
    names = [special.Any, special.AnyIPv6, special.AnyIPv4, special.LocalHost, special.LocalHostIPv6, special.Broadcast]
    say(*(QHostAddress(each).toString() for each in names), repr(QHostAddress().toString()))
    protocols = [QHostAddress(each).protocol().name for each in (special.Any, special.AnyIPv4, special.AnyIPv6)]
    say(*protocols, QHostAddress().protocol().name[:7] + "...")
    say(QHostAddress("no").isNull(), QHostAddress("127.0.0.1").isNull())
    say(QHostAddress("127.0.0.1").isLoopback(), QHostAddress("::1").isLoopback(), QHostAddress("8.8.8.8").isLoopback())
    say(*(QHostAddress(text).toString() for text in ("127.0.0.1", "0:0::1", "::ffff:127.0.0.1")))
    say(QHostAddress("127.0.0.1") == QHostAddress(special.LocalHost))
    say(QHostAddress(special.Any) == QHostAddress("0.0.0.0"))
    address = QHostAddress()
    say(address.setAddress("0.0.0.0"), address.toString())
    say(QHostAddress("FE80::1").toString())


@script("True", "1 3", "4 True", "0 2")
def enumerations_are_reached_at_their_class_too(say: Say) -> None:
    # Type checkers know them where Qt has them.
    address: Any = QHostAddress
    socket: Any = QAbstractSocket
    names: Any = Qt
    say(address.Any is QHostAddress.SpecialAddress.Any)
    say(QAbstractSocket.SocketError.RemoteHostClosedError.value, QAbstractSocket.SocketState.ConnectedState.value)
    say(address.Any.value, socket.ConnectedState is QAbstractSocket.SocketState.ConnectedState)
    say(Qt.ConnectionType.AutoConnection.value, names.QueuedConnection.value)


@script("b'1' True False", "ws://host/a", "2", "0")
def a_request_and_its_headers(say: Say) -> None:
    request = QNetworkRequest(QUrl("ws://host/a"))
    request.setRawHeader(b"X-One", b"1")
    request.setRawHeader(b"X-Two", b"2")
    say(request.rawHeader("x-one"), request.hasRawHeader("X-ONE"), request.hasRawHeader("x-three"))
    say(request.url().toString())
    say(len(request.rawHeaderList()))
    say(len(request.rawHeader("x-three")))
