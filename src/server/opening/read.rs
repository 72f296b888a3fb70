//! Reading the request.

use super::newcomer::Newcomer;
use crate::protocol::handshake::{self, MAX_HEAD, Verdict};
use crate::server::desk::Seated;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt};

/// First allocation for a request; browsers send about half of it.
const FIRST_READ: usize = 1024;

/// What has come.
#[derive(Debug)]
pub(super) enum Read {
    /// Bytes that give a verdict, which is not [`Verdict::Incomplete`].
    Judged(Vec<u8>, Verdict),
    /// Not enough of them in time.
    Late,
    /// More than there is memory for.
    TooMuch,
    /// Nobody to answer, or nobody who would.
    Gone,
}

/// Until the bytes received give a verdict, of which some may have come behind the request before.
pub(super) async fn read<W: AsyncRead + Unpin>(newcomer: &mut Newcomer<W>) -> Read {
    let (clock, due) = (newcomer.seated.desk.clock.clone(), newcomer.due);
    match clock.before(due, read_request(newcomer)).await {
        Some(Ok(read)) => read,
        Some(Err(_broken)) => Read::Gone,
        // It has got what it asked for.
        None if newcomer.is_served && newcomer.head.is_empty() => Read::Gone,
        None => Read::Late,
    }
}

async fn read_request<W: AsyncRead + Unpin>(newcomer: &mut Newcomer<W>) -> io::Result<Read> {
    let Newcomer {
        wire,
        seated,
        charge,
        head,
        ..
    } = newcomer;
    loop {
        if !head.is_empty() {
            match handshake::check(head, &seated.desk.shared.policy) {
                Verdict::Incomplete => {}
                verdict => return Ok(Read::Judged(mem::take(head), verdict)),
            }
        }
        if head.len() == head.capacity() {
            let more = head.len().clamp(FIRST_READ, MAX_HEAD);
            if charge.grow(head, more).is_err() {
                return Ok(Read::TooMuch);
            }
        }
        if read_more(wire, head, seated).await? == 0 {
            return Ok(Read::Gone);
        }
    }
}

/// Reads into the buffer's spare room; nothing at the end of the stream, and when the server is to stop or the
/// connection to be reset.
pub(in crate::server) async fn read_more<W: AsyncRead + Unpin>(
    wire: &mut W,
    buffer: &mut Vec<u8>,
    seated: &Seated,
) -> io::Result<usize> {
    poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.has_to_end() {
            return Poll::Ready(Ok(0));
        }
        pin!(wire.read_buf(buffer)).poll(cx)
    })
    .await
}
