//! A connection from its first byte to its last. Before it is a client's, its request is read, decided about, and
//! answered.

mod answer;
mod ask;
mod decide;
pub(super) mod newcomer;
pub(super) mod read;

use self::answer::{Answer, GoesOn};
use self::decide::decide;
use self::newcomer::Newcomer;
use self::read::read;
use super::connection::{Connection, End};
use super::linger;
use super::wire::Wire;
use crate::protocol::account::Account;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Serves one connection.
pub(super) fn serve<W: Wire>(newcomer: Newcomer<W>) -> impl Future<Output = ()> {
    // Boxed, and made outside of the task: what the opening needs is not kept for the time after it.
    let opening = Box::pin(open(newcomer));
    async move {
        let Some(mut connection) = opening.await else {
            return;
        };
        if poll_fn(|cx| connection.poll(cx)).await == End::Linger {
            let due = connection.close_due();
            let (wire, seated) = connection.leave();
            Box::pin(linger::linger(wire, seated, due)).await;
        }
    }
}

/// Makes the connection of a client; `None` if it did not come to that, and then all is done that can be done.
///
/// Allocated for each client, and small enough for what glibc hands out again at once (the test below): with more, an
/// idle client costs 90 bytes of memory between allocations.
#[expect(clippy::manual_async_fn, reason = "that would keep the newcomer twice")]
fn open<W: Wire>(mut newcomer: Newcomer<W>) -> impl Future<Output = Option<Connection<W>>> {
    async move {
        let answer = loop {
            let request = read(&mut newcomer).await;
            match decide(&mut newcomer, request).await.goes_on() {
                Ok(report) => {
                    // Boxed: few have more than one request.
                    if !Box::pin(go_on(&mut newcomer, report)).await {
                        break Answer::Silence;
                    }
                }
                Err(answer) => break answer,
            }
        };
        // In this order: whoever waits for a reset waits until the seat is free, and the wire is closed before.
        let Newcomer {
            seated,
            mut wire,
            charge,
            ..
        } = newcomer;
        // Nothing of its request is kept any more.
        drop(charge);
        let (response, body) = match answer {
            Answer::Switch(client, upgraded) => {
                return Some(Connection::new(wire, client, upgraded, seated));
            }
            Answer::Http { response, body, .. } => (response, body),
            // A TLS alert may be on its way.
            Answer::Silence => (Vec::new(), [].as_slice()),
            Answer::Reset => {
                wire.reset_on_drop();
                return None;
            }
        };
        // Boxed: most become clients.
        Box::pin(linger::answer(&mut wire, &response, body, &seated)).await;
        None
    }
}

/// Sends a report, behind whose request another may come; `false` if the connection is to end.
async fn go_on<W: Wire>(newcomer: &mut Newcomer<W>, report: GoesOn) -> bool {
    let GoesOn { response, rest } = report;
    let Newcomer {
        wire,
        seated,
        charge,
        due,
        head,
        is_served,
        ..
    } = newcomer;
    let desk = &seated.desk;
    let config = &desk.shared.config;
    let due_to_say = desk.clock.now() + config.close_timeout;
    if !linger::say(wire, &response, &[], seated, due_to_say).await {
        return false;
    }
    // TLS keeps what the socket did not take.
    let flushed = poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.has_to_end() {
            return Poll::Ready(false);
        }
        let flushed = Pin::new(&mut *wire).poll_flush(cx);
        flushed.map(|flushed| flushed.is_ok())
    });
    if desk.clock.before(due_to_say, flushed).await != Some(true) {
        return false;
    }
    if !rest.is_empty() {
        // A report takes a while, and requests for it may come as many as there is room for.
        desk.clock.give_way().await;
    }
    *charge = Account::new(desk.shared.memory.clone());
    *due = desk.clock.now() + config.open_timeout;
    *is_served = true;
    *head = rest;
    charge.charge(head.capacity()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::open;
    use crate::sockets::Listed;
    use std::future::Future;
    use tokio::net::TcpStream;

    /// The largest size that a thread keeps for its next allocation (glibc's `tcache_max` on 64 bits).
    const MOST: usize = 1032;

    const fn size<N, F: Future>(_of: &impl Fn(N) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn opening_is_small() {
        let size = size(&open::<Listed<TcpStream>>);
        assert!(
            size <= MOST,
            "an opening has {size} bytes, more than {MOST}"
        );
    }
}
