//! One thread with its own runtime and many connections. What happens to a connection happens on this thread; others
//! leave an order in its letterbox. Whether the thread does anything else is for others to say.

use super::clock::Clock;
use super::desk::Desk;
use super::listener::Listener;
use super::listening::Listening;
use super::opening::newcomer::Newcomer;
use super::shaped::Shaped;
use super::shared::{Command, Life, Shared};
use super::stages::{Phase, Row, Turn};
use super::tls::identity::Identity;
use super::{opening, proxied, tls};
use crate::client::{Ends, Letter};
use crate::handler::Handler;
use crate::manual_clock::Hand;
use crate::sockets::Listed;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a worker gets when it begins: its listeners, its hand of the clock, and its part in the life of the server.
pub(super) type Go = (Vec<Listener>, Option<Hand>, Arc<Life>);

/// Orders and commands that are done before clients have their turn.
const TURN: usize = 1024;

/// Builds what a worker needs on its own thread.
pub(super) fn runtime(handler: Arc<dyn Handler>) -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(move || handler.on_park())
        .build_local(LocalOptions::default())
}

/// Runs a worker until it is told to stop and its clients are gone, or the deadline has come.
pub(super) fn run(
    runtime: LocalRuntime,
    shared: Arc<Shared>,
    index: usize,
    listeners: Vec<Listener>,
    hand: Option<Hand>,
) {
    let _ended = Ended(shared.clone(), index);
    let desk = Desk::new(shared, index, Clock::new(hand));
    runtime.block_on(main(desk, listeners));
    // Aborts what is left.
    drop(runtime);
}

/// The end of a worker, also by a panic.
pub(super) struct Ended(pub(super) Arc<Shared>, pub(super) usize);

impl Drop for Ended {
    fn drop(&mut self) {
        let face = &self.0.workers[self.1];
        face.close();
        // After that: whoever posts to this worker from now on sees that it looks no more.
        self.0.handler.on_look(&face.orders);
    }
}

pub(super) async fn main(desk: Rc<Desk>, listeners: Vec<Listener>) {
    let mut listening = Listening::begin(listeners, &desk, place);
    // They end with the runtime.
    drop(spawn_local(desk.pace.clone().keep()));
    let lingering = desk.lingering.clone();
    drop(spawn_local(lingering.keep(desk.clock.clone())));
    let own = desk.clone();
    if let Some(keeper) = desk.clock.keeper(move || own.has_queue()) {
        drop(spawn_local(keeper));
    }
    let (handler, orders) = (desk.shared.handler.clone(), desk.face().orders.clone());
    drop(spawn_local(desk.look.clone().keep(handler, orders)));
    let mut post = Post::default();
    let mut course = Course::default();
    poll_fn(|cx| {
        if post.poll(cx, &desk, &mut listening).is_ready() {
            // The others and the event queue have their turn before.
            cx.waker().wake_by_ref();
        }
        let end = course.poll(cx, &desk);
        if !desk.is_stopping() {
            listening.poll(cx, &desk);
            return Poll::Pending;
        }
        if listening.poll_end(cx).is_ready() && desk.poll_empty(cx).is_ready() {
            return Poll::Ready(());
        }
        end
    })
    .await;
}

/// A worker on its way through the stages of a stop.
#[derive(Debug, Default)]
struct Course {
    /// The next thing that happens by itself.
    sleep: Option<Pin<Box<Sleep>>>,
    /// How many of the worker's row have been told.
    told: usize,
}

impl Course {
    /// Does what it is time for; ready at the deadline.
    fn poll(&mut self, cx: &mut Context<'_>, desk: &Desk) -> Poll<()> {
        if desk.phase() == Phase::Serving {
            return Poll::Pending;
        }
        loop {
            // Anew each time: a second stop may have brought them forward.
            let stages = desk.shared.stages();
            let now = Instant::now().into_std();
            desk.enter(stages.phase(now));
            let nobody = Row::default();
            let row = if desk.is_stopping() {
                desk.shared.row(desk.index())
            } else {
                &nobody
            };
            let Turn::Wait(told, next) = stages.turn(now, row) else {
                return Poll::Ready(());
            };
            if told == usize::MAX {
                desk.tell_all();
            } else if told > self.told {
                row.seats(self.told..told).for_each(|seat| desk.tell(seat));
                self.told = told;
            }
            let next = Instant::from_std(next);
            let sleep = match &mut self.sleep {
                Some(sleep) if sleep.deadline() == next => sleep,
                unset => unset.insert(Box::pin(sleep_until(next))),
            };
            ready!(sleep.as_mut().poll(cx));
        }
    }
}

/// What has come for a worker and its clients, and is not done.
#[derive(Debug, Default)]
struct Post {
    letters: VecDeque<Letter>,
    commands: Vec<Command>,
}

impl Post {
    /// Does what has come; pending when that was all, and ready if there is more than one turn has room for.
    fn poll(&mut self, cx: &Context<'_>, desk: &Rc<Desk>, listening: &mut Listening) -> Poll<()> {
        let mut left = TURN;
        while left > 0 {
            if self.letters.is_empty() {
                ready!(self.poll_take(cx, desk));
            }
            let count = self.letters.len().min(left);
            left -= count;
            let letters = self.letters.drain(..count);
            letters.for_each(|letter| desk.deliver(letter));
            if self.letters.is_empty() {
                left = left.saturating_sub(self.commands.len());
                let commands = self.commands.drain(..);
                commands.for_each(|command| obey(desk, command, listening));
            }
        }
        Poll::Ready(())
    }

    fn poll_take(&mut self, cx: &Context<'_>, desk: &Desk) -> Poll<()> {
        let face = desk.face();
        let mut letters = Vec::from(mem::take(&mut self.letters));
        // In this order: an order that was given before a stop is delivered before that takes effect.
        let polls = [
            face.commands.poll_take(cx, &mut self.commands),
            face.orders.poll_take(cx, &mut letters),
        ];
        self.letters = letters.into();
        if polls.iter().all(Poll::is_pending) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Gives a new connection to the worker with the fewest.
fn place(desk: &Rc<Desk>, stream: Listed<TcpStream>, ends: Ends) {
    let workers = &desk.shared.workers;
    let least = (0..workers.len())
        .min_by_key(|&index| workers[index].load.load(Ordering::Relaxed))
        .unwrap_or(desk.index());
    workers[least].load.fetch_add(1, Ordering::Relaxed);
    if least == desk.index() {
        serve(desk, stream, ends);
    } else {
        match stream.try_map(TcpStream::into_std) {
            Ok(socket) => workers[least]
                .commands
                .post_one(Command::Serve(socket, ends)),
            Err(_) => drop(workers[least].load.fetch_sub(1, Ordering::Relaxed)),
        }
    }
}

fn serve(desk: &Rc<Desk>, stream: Listed<TcpStream>, ends: Ends) {
    let seated = desk.sit();
    if desk.is_stopping() {
        return;
    }
    // It fails only if the client is gone already, which the first read tells, or has come by a Unix socket.
    let _ = stream.set_nodelay(true);
    let (stream, peer) = (Shaped::new(stream), ends.peer);
    let newcomer = Newcomer::new(stream, ends, seated);
    let shared = &desk.shared;
    let proxies = &shared.proxies;
    if proxies.iter().any(|network| network.has(peer)) {
        let tls = shared.tls.as_ref().map(Identity::config);
        spawn_local(Box::pin(proxied::serve(newcomer, tls)));
        return;
    }
    // Boxed: a task is as large as its future, in steps of 128 bytes.
    match &shared.tls {
        None => spawn_local(Box::pin(opening::serve(newcomer))),
        Some(identity) => spawn_local(Box::pin(tls::serve(newcomer, identity.config()))),
    };
}

fn obey(desk: &Rc<Desk>, command: Command, listening: &mut Listening) {
    match command {
        Command::Serve(socket, ends) => match socket.try_map(TcpStream::from_std) {
            Ok(stream) => serve(desk, stream, ends),
            Err(_) => drop(desk.sit()),
        },
        // Nothing after it comes in, if nothing is to.
        Command::Stop => desk.enter(desk.shared.phase()),
        Command::Change(asked) => listening.ask(asked),
        Command::Reset(done) => desk.reset(&done),
        Command::Faults(done) => desk.tell_faults(&done),
        Command::Obey(done) => desk.tell_obeyed(&done),
    }
}
