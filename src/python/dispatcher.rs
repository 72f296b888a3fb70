//! The dispatcher: takes what the workers have queued, attached once per batch, and answers it. Whoever runs the server
//! runs it; workers never attach to the interpreter.

mod failures;
mod handshake;

use super::answers::{Answer, Answers};
use super::calls::{Args, Called, Stage, Whose};
use super::client::PyClient;
use super::enter::call_method;
use super::events::{Ended, Event, Refusal};
use super::imported::printing;
use super::lock::lock;
use super::log;
use super::runner::Runner;
use super::shared::Shared;
use super::values::{Reply, printed, to_python};
use super::wanted::Whom;
use crate::client::Client;
use crate::handler::{Batch, Gate, Wants};
use crate::order::Order;
use crate::protocol::message::Kind;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events in, orders out. Lives as long as its runner runs it: once, or for a turn on an event loop.
pub(super) struct Dispatcher<'a, 'py, R> {
    pub(super) py: Python<'py>,
    pub(super) shared: &'a Shared,
    pub(super) runner: R,
    /// What ends the server and comes out of `serve()`: Ctrl-C, or `SystemExit` of a callback.
    fatal: Option<PyErr>,
    /// When the last callback ended, or the batch began, if others have their turn between them.
    pub(super) clock: Instant,
}

impl<'a, 'py, R: Runner<'py>> Dispatcher<'a, 'py, R> {
    pub(super) fn new(
        py: Python<'py>,
        shared: &'a Shared,
        runner: R,
        fatal: Option<PyErr>,
    ) -> Self {
        Self {
            py,
            shared,
            runner,
            fatal,
            clock: Instant::now(),
        }
    }

    /// What has ended the server, if that has to come out.
    pub(super) fn into_fatal(self) -> Option<PyErr> {
        self.fatal
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.handle_one(event);
        // Also without a callback: an answer to a handshake may be taken that was given beforehand, or a line logged.
        self.shared.link.happened();
    }

    fn handle_one(&mut self, event: Event) {
        match event {
            Event::Handshake(request) => self.handshake(&request),
            Event::Open(client, _held, gate) => self.open(&client, gate),
            Event::Messages(client, batch) => self.messages(&client, batch),
            Event::Pong(client, ..) if client.is_dismissed() => {}
            Event::Pong(client, payload, _held) => {
                let told = self.runner.ponged(self.shared, &client, &payload);
                self.check(told);
            }
            Event::Written(client, _held) => {
                let told = self.runner.written(self.shared, &client);
                self.check(told);
            }
            Event::Close(client, _held) => self.close(&client),
            Event::Refusal(refusal) => self.refusal(&refusal),
            Event::Ended(ended) => self.ended(&ended),
            Event::Closed => {
                if self.runner.may_finish() {
                    self.close_server();
                }
            }
        }
    }

    fn open(&mut self, client: &Arc<Client>, gate: Gate) {
        if self.shared.link.wanted.of(Whom::Log).has(Wants::OPEN) {
            let logged = log::connected(self.py, client);
            self.check_log(logged);
        }
        if gate == Gate::Open {
            return;
        }
        if let Some(result) = self.call_with_client(Stage::Open, client) {
            self.finish(Stage::Open, Whose::Client(client), result);
        }
    }

    fn close(&mut self, client: &Arc<Client>) {
        let closed = self.runner.closed(self.shared, client);
        self.check(closed);
        if self.shared.link.debug() {
            let shown = self
                .shared
                .client(self.py, client)
                .and_then(|object| Ok(object.bind(self.py).repr()?.into_any()));
            self.print("socketDisconnected", shown);
        }
        if let Some(result) = self.call_with_client(Stage::Close, client) {
            self.finish(Stage::Close, Whose::Client(client), result);
        }
    }

    fn refusal(&mut self, refusal: &Refusal) {
        if let Some(text) = refusal.text {
            let unlogged = self.shared.link.events.take_unlogged_refusals();
            let logged = log::refusal(self.py, text, refusal, unlogged);
            self.check_log(logged);
        }
        let told = self.runner.refused(refusal);
        self.check(told);
    }

    fn ended(&mut self, ended: &Ended) {
        let unlogged = self.shared.link.events.take_unlogged_ends();
        let logged = log::ended(self.py, ended, unlogged);
        self.check_log(logged);
    }

    /// Calls the last callback; `false` if it goes on by itself.
    pub(super) fn close_server(&mut self) -> bool {
        let called = self.invoke(Stage::Closed, Whose::Server, Args::None);
        let is_over = called.is_some();
        if let Some(result) = called {
            self.finish(Stage::Closed, Whose::Server, result);
        }
        is_over
    }

    fn call_with_client(&mut self, stage: Stage, client: &Arc<Client>) -> Called {
        if !self.shared.callbacks.has(stage) {
            return Some(Ok(self.py.None()));
        }
        match self.shared.client(self.py, client) {
            Ok(object) => self.invoke(stage, Whose::Client(client), Args::Client(object)),
            Err(error) => Some(Err(error)),
        }
    }

    /// What follows a callback, whether it has returned at once or ended as a coroutine.
    pub(super) fn finish(&mut self, stage: Stage, whose: Whose<'_>, result: PyResult<Py<PyAny>>) {
        match (stage, whose) {
            (Stage::Handshake, Whose::Request(request)) => self.decide(request, result),
            (Stage::Open, Whose::Client(client)) => {
                if self.report_here(stage, whose, result) {
                    let opened = self.runner.opened(self.shared, client);
                    self.check(opened);
                    self.shared.link.order(client, Order::Admit);
                }
            }
            (_, Whose::Client(client)) if stage.is_message() => {
                let reply = self.reply_of(stage, whose, result);
                if !self.shared.link.is_forked() {
                    self.answer(&reply);
                    self.answer_all(client);
                }
            }
            (Stage::Close, Whose::Client(client)) => {
                if self.report_here(stage, whose, result) {
                    self.runner.ended(client);
                    self.shared.forget(client.id);
                }
            }
            (Stage::Closed, _) => {
                if self.report_here(stage, whose, result) {
                    self.runner.finished();
                }
            }
            // Nothing follows, and the others are nobody's but of whom they are above.
            _ => self.report(stage, whose, result),
        }
    }

    /// Reports what a callback has brought; `false` in the child if `on_error` has forked.
    fn report_here(&mut self, stage: Stage, whose: Whose<'_>, called: PyResult<Py<PyAny>>) -> bool {
        self.report(stage, whose, called);
        !self.shared.link.is_forked()
    }

    /// Calls the callbacks for the messages of a batch, in order.
    fn messages(&mut self, client: &Arc<Client>, batch: Batch) {
        if self.runner.is_iterated(self.shared) {
            if self.shared.link.debug() {
                for (kind, payload) in &batch.messages {
                    let message = to_python(self.py, *kind, &batch.wire[payload.clone()]);
                    self.print_message(*kind, message);
                }
            }
            let delivered = self.runner.deliver(self.shared, client, batch);
            return self.check(delivered);
        }
        lock(&self.shared.link.outgoing).begin(Answers::new(client.clone(), batch));
        self.answer_all(client);
    }

    /// Answers what is left of the batch under way.
    pub(super) fn answer_all(&mut self, client: &Arc<Client>) {
        let object = match self.shared.client(self.py, client) {
            Ok(object) => object,
            // Out of memory at the worst: the messages are answered natively.
            Err(error) => return self.answer_natively(error),
        };
        while !self.is_late() {
            if self.runner.is_time_up(self.clock) {
                let answers = lock(&self.shared.link.outgoing).end();
                return self.runner.pause(self.shared, client, answers);
            }
            if client.is_dismissed() {
                lock(&self.shared.link.outgoing).answer_rest(Answer::Nothing);
                break;
            }
            let next = lock(&self.shared.link.outgoing)
                .message()
                .map(|(kind, payload)| (kind, to_python(self.py, kind, payload)));
            let Some((kind, message)) = next else { break };
            let reply = self.reply(client, &object, kind, message);
            if self.shared.link.is_forked() {
                return;
            }
            let Some(reply) = reply else {
                let answers = lock(&self.shared.link.outgoing).end();
                return self.runner.suspend(client, answers);
            };
            self.answer(&reply);
        }
        lock(&self.shared.link.outgoing).end();
    }

    fn answer(&mut self, reply: &Reply<'_>) {
        lock(&self.shared.link.outgoing).answer(reply.answer());
        if R::TAKES_TURNS {
            self.clock = Instant::now();
        }
    }

    /// Whether the deadline of a stop has passed: what is queued still can't be answered, and is not delivered.
    fn is_late(&self) -> bool {
        self.shared.link.is_over() && self.shared.core.is_overdue()
    }

    fn answer_natively(&mut self, error: PyErr) {
        let answer = if self.shared.link.echoes() {
            Answer::Echo
        } else {
            Answer::Nothing
        };
        let mut outgoing = lock(&self.shared.link.outgoing);
        outgoing.answer_rest(answer);
        outgoing.end();
        drop(outgoing);
        self.check(Err(error));
    }

    /// Has a message answered; `None` if the answer comes later.
    fn reply(
        &mut self,
        client: &Arc<Client>,
        object: &Py<PyClient>,
        kind: Kind,
        message: PyResult<Bound<'py, PyAny>>,
    ) -> Option<Reply<'py>> {
        let stage = Stage::of_kind(kind);
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                self.check(Err(error));
                return Some(Reply::Nothing);
            }
        };
        if self.shared.link.debug() {
            self.print_message(kind, Ok(message.clone()));
        }
        let (whose, args) = (Whose::Client(client), Args::Message(object, message));
        let result = self.invoke(stage, whose, args)?;
        Some(self.reply_of(stage, whose, result))
    }

    fn reply_of(
        &mut self,
        stage: Stage,
        whose: Whose<'_>,
        result: PyResult<Py<PyAny>>,
    ) -> Reply<'py> {
        let reply = result.and_then(|reply| Reply::of(|| self.named(stage), reply.bind(self.py)));
        match reply {
            Ok(Reply::Echo) if !self.shared.link.echoes() => Reply::Nothing,
            Ok(reply) => reply,
            Err(error) => {
                self.report::<()>(stage, whose, Err(error));
                Reply::Nothing
            }
        }
    }

    /// Calls the callback of `stage`; without one it is as if that had returned None. In a child of its fork it goes on by
    /// itself.
    pub(super) fn invoke(&mut self, stage: Stage, whose: Whose<'_>, args: Args<'_, 'py>) -> Called {
        let shared = self.shared;
        let Some(callback) = shared.callbacks.of(self.py, stage) else {
            return Some(Ok(self.py.None()));
        };
        let called = self.runner.invoke(shared, stage, whose, &callback, args);
        if !shared.link.is_forked() {
            return called;
        }
        self.leave();
        if let Some(called) = called {
            self.report(stage, whose, called);
        }
        None
    }

    /// This is the child of a callback's fork: what has ended the server is the parent's.
    pub(super) fn leave(&mut self) {
        self.fatal = None;
    }

    fn print_message(&mut self, kind: Kind, message: PyResult<Bound<'py, PyAny>>) {
        self.print(printed(kind), message);
    }

    /// Prints a line of the example.
    fn print(&mut self, name: &str, value: PyResult<Bound<'py, PyAny>>) {
        let printed = value.and_then(|value| {
            let printing = printing(self.py)?;
            call_method(&printing, intern!(self.py, "event"), (name, value)).map(drop)
        });
        self.check(printed);
    }

    /// A callback does not end: nothing is waited for any more.
    pub(super) fn give_up(&mut self, error: PyErr) {
        self.fatal.get_or_insert(error);
        self.runner.give_up();
    }

    /// Stops the server for an exception, which comes out at the end; at a second one without waiting for clients.
    pub(super) fn end_by(&mut self, error: PyErr) {
        let core = &self.shared.core;
        let again = self.fatal.is_some();
        if !self.shared.link.is_forked() {
            self.shared.link.post_finished();
            core.stop(if again {
                Duration::ZERO
            } else {
                core.config().stop_timeout()
            });
        }
        self.fatal.get_or_insert(error);
    }
}
