//! Listening: the sockets that clients come in by, and the tasks that accept from them. The first worker has it, and it
//! is nothing of its connections' or its threads': it can end before them.

use super::desk::Desk;
use super::stats::Counters;
use crate::client::Ends;
use crate::sockets::Listed;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};

/// Pause after an accept failed for want of resources, doubled at each further failure up to the second one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Who serves a connection that was accepted at this desk.
pub(super) type Place = fn(&Rc<Desk>, Listed<TcpStream>, Ends);

/// A task for each socket, which owns it.
#[derive(Debug)]
pub(super) struct Listening(Vec<JoinHandle<()>>);

impl Listening {
    /// Accepts from now on, and gives each connection to `place`.
    pub(super) fn begin(sockets: Vec<Listed<StdListener>>, desk: &Rc<Desk>, place: Place) -> Self {
        // The sockets are non-blocking and the runtime's own: registering them fails only for want of memory, and then
        // there is nobody to tell but the clients that get no answer.
        let listeners = sockets
            .into_iter()
            .filter_map(|socket| socket.try_map(TcpListener::from_std).ok());
        let accepting = listeners.map(|listener| {
            let desk = desk.clone();
            spawn_local(async move {
                let place = |stream, ends| place(&desk, stream, ends);
                accept(listener, desk.counters(), place).await;
            })
        });
        Self(accepting.collect())
    }

    /// Accepts no more: the sockets are closed. Ready when they are.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.iter().for_each(JoinHandle::abort);
        while let Some(task) = self.0.last_mut() {
            // Aborted or broken, it has dropped its socket.
            let _ = ready!(Pin::new(task).poll(cx));
            self.0.pop();
        }
        Poll::Ready(())
    }
}

/// Accepts until the task is aborted, and gives each connection to `place`. A failure never ends it.
async fn accept(
    listener: Listed<TcpListener>,
    counters: &Counters,
    place: impl Fn(Listed<TcpStream>, Ends),
) {
    let bound = listener.local_addr();
    let mut pause = BACK_OFF.0;
    loop {
        match poll_fn(|cx| Listed::poll_accepted(|| listener.poll_accept(cx))).await {
            Ok((stream, peer)) => {
                pause = BACK_OFF.0;
                counters.connections_accepted.add(1);
                // One interface's connections all have its address: no need to ask for each.
                let local = match &bound {
                    Ok(bound) if !bound.ip().is_unspecified() => *bound,
                    // It fails only if the client is gone already.
                    _ => stream.local_addr().unwrap_or(peer),
                };
                let (peer, local) = (plain(peer), plain(local));
                place(stream, Ends { peer, local });
            }
            Err(error) => {
                counters.accept_errors.add(1);
                // Of one connection, which is gone: the next one may be fine.
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted
                ) {
                    // Want of descriptors or memory: the waiting connection stays in the backlog meanwhile.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
    }
}

/// IPv4 on a dual-stack socket, as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or(address, |v4| SocketAddr::new(v4.into(), address.port())),
        IpAddr::V4(_) => address,
    }
}
