//! Listening: the sockets that clients come in by, and the tasks that accept from them. The first worker has it, and it
//! is nothing of its connections' or its threads': it can end before them, stop for a while, and begin again.

use super::desk::Desk;
use super::listener::{Awake, Listener};
use super::places::{self, Held};
use super::ports;
use super::shared::{Asked, Change};
use crate::client::Ends;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::sockets::Listed;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};

/// Pause after an accept failed for want of resources, doubled at each further failure up to the second one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Why a server can't be down.
const ADOPTED: &str = "the server has its sockets from elsewhere (sock), where others may listen on them: down() can't \
                       have connects refused; with pause() they wait";

/// Who serves a connection that was accepted at this desk.
pub(super) type Place = fn(&Rc<Desk>, Listed<TcpStream>, Ends);

#[derive(Debug)]
pub(super) struct Listening {
    state: State,
    asked: VecDeque<Asked>,
    place: Place,
}

#[derive(Debug)]
enum State {
    /// A task for each socket.
    Accepting(Vec<(Rc<Listener<Awake>>, JoinHandle<()>)>),
    Paused(Vec<Listener>),
    /// What is left of the sockets, and the outage's number.
    Down(Held, u64),
}

impl Listening {
    /// Accepts from now on, and gives each connection to `place`; nobody, without sockets.
    pub(super) fn begin(sockets: Vec<Listener>, desk: &Rc<Desk>, place: Place) -> Self {
        let is_any = !sockets.is_empty();
        let begun = Self {
            state: State::accepting(sockets, desk, place),
            asked: VecDeque::new(),
            place,
        };
        if is_any {
            begun.announce(desk);
        }
        begun
    }

    /// Has everybody know whether clients are accepted.
    fn announce(&self, desk: &Desk) {
        let is_accepting = matches!(self.state, State::Accepting(_));
        let accepting = &desk.shared.accepting;
        accepting.store(is_accepting, Ordering::Release);
    }

    /// A change that is to be made.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.asked.push_back(asked);
    }

    /// Makes the changes that were asked for, one after the other.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, desk: &Rc<Desk>) {
        while let Some((change, _)) = self.asked.front() {
            let Poll::Ready(done) = self.poll_change(*change, cx, desk) else {
                return;
            };
            self.announce(desk);
            if let Some((_, waiting)) = self.asked.pop_front() {
                // It may have given up.
                let _ = waiting.send(done);
            }
        }
    }

    fn poll_change(
        &mut self,
        change: Change,
        cx: &mut Context<'_>,
        desk: &Rc<Desk>,
    ) -> Poll<Result<(), Error>> {
        Poll::Ready(match (change, &mut self.state) {
            (Change::Pause, State::Accepting(_)) => {
                let sockets = ready!(self.state.poll_quiet(cx));
                self.state = State::Paused(sockets);
                Ok(())
            }
            (Change::Resume, State::Paused(sockets)) => {
                self.state = State::accepting(mem::take(sockets), desk, self.place);
                Ok(())
            }
            (Change::Down(_), State::Accepting(sockets))
                if sockets.iter().any(|(socket, _)| socket.is_adopted()) =>
            {
                Err(Error::State(ADOPTED))
            }
            (Change::Down(outage), State::Accepting(_)) => {
                let mut sockets = ready!(self.state.poll_quiet(cx));
                for socket in &sockets {
                    take_backlog(socket, desk, self.place);
                }
                match places::hold(&mut sockets, &desk.shared.config) {
                    Ok(held) => {
                        self.state = State::Down(held, outage);
                        Ok(())
                    }
                    Err(error) => {
                        self.state = State::accepting(sockets, desk, self.place);
                        Err(unheard(desk, error))
                    }
                }
            }
            (Change::Up(outage), State::Down(held, own)) if outage == *own => {
                match places::listen(held, &desk.shared.config) {
                    Ok(sockets) => {
                        self.state = State::accepting(sockets, desk, self.place);
                        Ok(())
                    }
                    Err(error) => Err(unheard(desk, error)),
                }
            }
            (Change::Close, _) => {
                drop(ready!(self.state.poll_quiet(cx)));
                self.state = State::Paused(Vec::new());
                Ok(())
            }
            (Change::Pause, State::Paused(_))
            | (Change::Resume, State::Accepting(_))
            | (Change::Up(_), _) => Ok(()),
            (Change::Down(_), State::Paused(_)) => Err(Error::State(
                "the server is paused: call resume() before down()",
            )),
            (Change::Down(_), State::Down(..)) => Err(Error::State(
                "the server is down already: let that `with` end before another down()",
            )),
            (Change::Pause | Change::Resume, State::Down(..)) => Err(Error::State(
                "the server is down: let the `with` of down() end before pause() and resume()",
            )),
        })
    }

    /// Accepts no more: the sockets are closed. Ready when they are.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Whoever waits for a change sees that nobody answers.
        self.asked.clear();
        drop(ready!(self.state.poll_quiet(cx)));
        self.state = State::Paused(Vec::new());
        Poll::Ready(())
    }
}

impl State {
    fn accepting(sockets: Vec<Listener>, desk: &Rc<Desk>, place: Place) -> Self {
        // The sockets are non-blocking and the runtime's own: registering them fails only for want of memory, and then
        // there is nobody to tell but the clients that get no answer.
        let listeners = sockets.into_iter().filter_map(|socket| socket.wake().ok());
        let accepting = listeners.map(|listener| {
            let listener = Rc::new(listener);
            let (own, desk) = (listener.clone(), desk.clone());
            let task = spawn_local(async move { accept(&own, &desk, place).await });
            (listener, task)
        });
        Self::Accepting(accepting.collect())
    }

    /// Nobody accepts any more: the sockets, when that is so; none if nobody did.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Listener>> {
        let Self::Accepting(accepting) = self else {
            return Poll::Ready(Vec::new());
        };
        for (_, task) in accepting.iter() {
            task.abort();
        }
        for (_, task) in accepting.iter_mut() {
            if !task.is_finished() {
                // Aborted or broken, it has dropped its share of the socket.
                let _ = ready!(Pin::new(task).poll(cx));
            }
        }
        let sockets = mem::take(accepting).into_iter();
        let sockets = sockets.filter_map(|(socket, _)| Rc::into_inner(socket));
        let sockets = sockets.filter_map(|socket| socket.quiet().ok());
        Poll::Ready(sockets.collect())
    }
}

/// Why the server does not listen.
fn unheard(desk: &Desk, source: io::Error) -> Error {
    let shared = &desk.shared;
    match &shared.address {
        Endpoint::Ip(address) => Error::Listen {
            host: ports::named(&shared.config.host),
            port: address.port(),
            source,
        },
        Endpoint::Unix(path) => Error::ListenUnix {
            path: path.to_path_buf(),
            reason: source.to_string(),
            source,
        },
    }
}

/// Accepts until the task is aborted, and gives each connection to `place`. A failure never ends it.
async fn accept(listener: &Listener<Awake>, desk: &Rc<Desk>, place: Place) {
    let mut pause = BACK_OFF.0;
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok((stream, ends)) => {
                pause = BACK_OFF.0;
                welcome(stream, ends, desk, place);
            }
            Err(error) => {
                desk.count(|counters| counters.accept_errors.add(1));
                if !is_of_one(&error) {
                    desk.report_accept(&error);
                    // Want of descriptors or memory: the waiting connection stays in the backlog meanwhile.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
    }
}

/// Whether an error of accepting is of one connection, which is gone: the next one may be fine.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Accepts those who have connected already. Who can't be, for want of descriptors, is reset when the socket is closed.
fn take_backlog(listener: &Listener, desk: &Rc<Desk>, place: Place) {
    let most = desk.shared.config.own_backlog();
    for (stream, ends) in waiting(most, || listener.poll_waiting()) {
        welcome(stream, ends, desk, place);
    }
}

/// What there is to accept: no more than `most` were there before.
fn waiting<T>(
    most: usize,
    mut accept: impl FnMut() -> Poll<io::Result<T>>,
) -> impl Iterator<Item = T> {
    let attempts = (0..most).map_while(move |_| match accept() {
        Poll::Ready(Ok(one)) => Some(Some(one)),
        Poll::Ready(Err(error)) if is_of_one(&error) => Some(None),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    });
    attempts.flatten()
}

fn welcome(stream: Listed<TcpStream>, ends: Ends, desk: &Rc<Desk>, place: Place) {
    desk.count(|counters| counters.connections_accepted.add(1));
    place(desk, stream, ends);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_gone_does_not_keep_the_others_behind_it_out() {
        let mut answers = [
            Ok(1),
            Err(ErrorKind::ConnectionAborted),
            Ok(2),
            Err(ErrorKind::Interrupted),
            Err(ErrorKind::ConnectionReset),
            Ok(3),
            Err(ErrorKind::WouldBlock),
            Ok(4),
        ]
        .into_iter();
        let accept = || Poll::Ready(answers.next().unwrap().map_err(io::Error::from));
        assert_eq!(waiting(99, accept).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(answers.next(), Some(Ok(4)));
    }
}
