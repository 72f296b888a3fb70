"""The server of a random conversation, with callbacks that do what each message says."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conversation_plan import CLOSE_CODE, ENDS, PATIENCE, SENDS, STOP, Content, Message, Outcome, Plan, parse
from echoserver import NO_REPLY, Client, EchoServer


class Server:
    """A server that takes part, and notes what it is given."""

    def __init__(self, plan: Plan, outcomes: list[Outcome], wrong: list[str]) -> None:
        """Nothing runs yet; what it finds wrong goes to `wrong`."""
        self.plan = plan
        self.outcomes = outcomes
        self.wrong = wrong
        self.errors: list[BaseException] = []
        self.running: set[int] = set()
        # Clients that a callback has closed or aborted.
        self.dismissed: set[int] = set()
        self.ended = threading.Event()
        self.server: EchoServer

    def begin(self, client: Client, content: Content) -> Message:
        """Notes a call."""
        message, index = parse(content), int(client.path.strip("/"))
        if index in self.running:
            self.wrong.append(f"client {index}: two callbacks at a time, of {message}")
        if index in self.dismissed:
            self.wrong.append(f"client {index}: called after its close, with {message}")
        self.running.add(index)
        self.outcomes[index].calls.append(message.number)
        return message

    def end(self, client: Client) -> None:
        """Notes its end."""
        self.running.discard(int(client.path.strip("/")))

    def dismiss(self, client: Client) -> Any:
        """Notes that no callback follows."""
        self.dismissed.add(int(client.path.strip("/")))
        return NO_REPLY

    def plain(self, client: Client, content: Content) -> Any:
        """A callback that waits for nothing."""
        message = self.begin(client, content)
        try:
            for index, step in enumerate(message.steps):
                sent = f"{message.number}/{index}"
                if step == "work":
                    work()
                elif step == "send_binary":
                    client.send(sent.encode())
                elif step == "send_elsewhere":
                    elsewhere(client.send, sent)
                elif step in SENDS:
                    client.send(sent)
                elif step == "close_elsewhere":
                    elsewhere(client.close, CLOSE_CODE)
                elif step == "close":
                    client.close(CLOSE_CODE)
                elif step == "abort":
                    client.abort()
                if step in ENDS:
                    return self.dismiss(client)
            if message.result == "cancel":
                raise ZeroDivisionError
            return message.reply()
        finally:
            self.end(client)

    async def coroutine(self, client: Client, content: Content) -> Any:
        """The same as an `async def`."""
        message = self.begin(client, content)
        try:
            for index, step in enumerate(message.steps):
                await self.step(client, step, f"{message.number}/{index}")
                if step in ENDS:
                    return self.dismiss(client)
            if message.result == "cancel":
                task = asyncio.current_task()
                assert task
                task.cancel()
                await asyncio.sleep(0.01)
            return message.reply()
        finally:
            self.end(client)

    async def step(self, client: Client, step: str, sent: str) -> None:
        """Does what a message asks for."""
        if step == "work":
            work()
        elif step.startswith("sleep"):
            await asyncio.sleep(int(step[5:]) / 1000)
        elif step == "timeout":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(1000)
        elif step == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.001))
                group.create_task(asyncio.sleep(0))
        elif step == "shielded":
            await asyncio.shield(asyncio.sleep(0.001))
        elif step == "send_binary":
            client.send(sent.encode())
        elif step == "send_async":
            await client.send_async(sent)
        elif step == "send_elsewhere":
            await asyncio.to_thread(client.send, sent)
        elif step == "send":
            client.send(sent)
        elif step == "close_elsewhere":
            await asyncio.to_thread(client.close, CLOSE_CODE)
        elif step == "close":
            client.close(CLOSE_CODE)
        elif step == "abort":
            client.abort()

    def welcome(self, client: Client) -> None:
        """An `on_connect` that waits for nothing."""
        work()
        if self.plan.greets:
            client.send("welcome")

    async def welcome_later(self, client: Client) -> None:
        """The same as an `async def`."""
        await asyncio.sleep(0.002)
        if self.plan.greets:
            client.send("welcome")

    async def admit(self, _request: object) -> None:
        """An `on_handshake`."""
        await asyncio.sleep(0.001)

    def make(self) -> EchoServer:
        """The server."""
        plan = self.plan
        choices: dict[str, dict[str | None, Any]] = {
            "on_text": {"plain": self.plain, "async": self.coroutine},
            "on_binary": {"plain": self.plain, "async": self.coroutine},
            "on_connect": {"plain": self.welcome, "async": self.welcome_later},
            "on_handshake": {"plain": lambda _: None, "async": self.admit},
        }
        options: dict[str, Any] = {name: choice.get(plan.kinds[name]) for name, choice in choices.items()}
        if plan.memory_limit is not None:
            options["memory_limit"] = plan.memory_limit
        return EchoServer(
            0,
            host="127.0.0.1",
            workers=plan.workers,
            close_timeout=STOP,
            tls="self-signed" if plan.has_tls else None,
            compression="deflate" if plan.has_deflate else None,
            on_error=lambda _, error: self.errors.append(error),
            **options,
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serves in the way that the plan says."""
        self.server = self.make()
        if self.plan.runner == "start":
            self.server.start()
            try:
                yield
            finally:
                self.server.stop()
            return
        serve = self.server.serve if self.plan.runner == "serve" else self.run_loop
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.server.stop()
            self.ended.set()
            thread.join(PATIENCE)
            if thread.is_alive():
                self.wrong.append("the server's thread did not end")

    def run_loop(self) -> None:
        """Serves on an event loop of this thread's."""
        make = asyncio.new_event_loop
        if self.plan.runner == "uvloop":
            make = __import__("uvloop").new_event_loop

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.wrong.append(repr(context)))
            async with self.server:
                while not self.ended.is_set():
                    if self.plan.is_interrupted:
                        work()
                    await asyncio.sleep(0.002)

        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())


def work() -> None:
    """Takes the thread for a while longer than a turn of the loop."""
    until = time.perf_counter() + 0.0015
    while time.perf_counter() < until:
        pass


def elsewhere(call: Callable[..., object], *arguments: object) -> None:
    """Calls in another thread, and waits for it; what that raises comes out here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call, *arguments).result()
