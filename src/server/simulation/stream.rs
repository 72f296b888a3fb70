//! A stream in memory with two ends: the server's does what its temper wants, the client's sees everything.

use crate::protocol::handshake::MAX_HEAD;
use crate::server::wire::Wire;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

/// No test takes so long, even in its own time. A wait for nothing ends here, at once in ours.
pub(super) const NEVER: Duration = Duration::from_secs(7 * 86_400);
/// Who calls so often for nothing goes round in a loop.
const MAX_VAIN: usize = 1000;

/// How the server's end behaves.
#[derive(Debug, Clone)]
pub(super) struct Temper {
    state: u64,
    /// Reads and writes of few bytes, and waits for no reason.
    is_moody: bool,
    /// Reads and writes until one fails.
    patience: usize,
}

impl Temper {
    /// Everything at once.
    pub(super) const fn even() -> Self {
        Self {
            state: 1,
            is_moody: false,
            patience: usize::MAX,
        }
    }

    pub(super) const fn moody(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            is_moody: true,
            patience: usize::MAX,
        }
    }

    pub(super) const fn failing_after(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % end
    }

    /// How many of `len` bytes are moved now; `None`: the caller has to come again.
    fn portion(&mut self, len: usize) -> io::Result<Option<usize>> {
        if self.patience == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.patience -= 1;
        if !self.is_moody {
            return Ok(Some(len));
        }
        Ok(match self.below(4) {
            0 => None,
            1 => Some(1 + self.below(3)),
            2 => Some(1 + self.below(200)),
            _ => Some(len),
        }
        .map(|portion| portion.min(len)))
    }
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what each end has done; no state is made of them"
)]
struct Line {
    temper: Temper,
    /// Counts calls that moved something, or are to come again for no reason.
    happened: u64,
    /// From the client.
    sent: VecDeque<u8>,
    has_sent_all: bool,
    /// To the client.
    received: VecDeque<u8>,
    /// What the client takes before it has read something.
    room: usize,
    is_shut_down: bool,
    is_dropped: bool,
    is_reset: bool,
    /// Calls that moved nothing since something moved or time passed.
    vain: (usize, Instant),
    reader: Option<Waker>,
    writer: Option<Waker>,
    client: Option<Waker>,
}

impl Line {
    /// A call has moved that many bytes.
    fn count(&mut self, portion: Option<usize>) {
        self.happened += u64::from(portion != Some(0));
        let (vain, since) = &mut self.vain;
        if portion > Some(0) || since.elapsed() > Duration::ZERO {
            (*vain, *since) = (0, Instant::now());
        }
        *vain += 1;
        assert!(*vain < MAX_VAIN, "a loop without progress");
    }

    fn wake_server(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn wake_client(&mut self) {
        if let Some(waker) = self.client.take() {
            waker.wake();
        }
    }
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Stream(Rc<RefCell<Line>>);

/// The client's end.
#[derive(Debug)]
pub(super) struct Peer(Rc<RefCell<Line>>);

/// Sees whether anything happens.
#[derive(Debug)]
pub(super) struct Watcher(Rc<RefCell<Line>>);

impl Watcher {
    /// How much has happened.
    pub(super) fn happened(&self) -> u64 {
        self.0.borrow().happened
    }
}

pub(super) fn pair(temper: Temper) -> (Stream, Peer) {
    let line = Rc::new(RefCell::new(Line {
        temper,
        happened: 0,
        sent: VecDeque::new(),
        has_sent_all: false,
        received: VecDeque::new(),
        room: usize::MAX,
        is_shut_down: false,
        is_dropped: false,
        is_reset: false,
        vain: (0, Instant::now()),
        reader: None,
        writer: None,
        client: None,
    }));
    (Stream(line.clone()), Peer(line))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut line = self.0.borrow_mut();
        let len = buffer.remaining().min(line.sent.len());
        let portion = line.temper.portion(len)?;
        line.count(portion);
        let Some(portion) = portion else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        if len == 0 && !line.has_sent_all {
            line.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for byte in line.sent.drain(..portion) {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.0.borrow_mut();
        assert!(!line.is_shut_down, "written after the end");
        assert!(!bytes.is_empty(), "nothing written");
        let len = bytes.len().min(line.room);
        let portion = line.temper.portion(len)?;
        line.count(portion);
        let Some(portion) = portion else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        if portion == 0 {
            line.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        line.room -= portion;
        line.received.extend(&bytes[..portion]);
        line.wake_client();
        Poll::Ready(Ok(portion))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.0.borrow_mut();
        line.happened += 1;
        line.is_shut_down = true;
        line.wake_client();
        Poll::Ready(Ok(()))
    }
}

impl Wire for Stream {
    fn reset_on_drop(&self) {
        self.0.borrow_mut().is_reset = true;
    }

    fn has_left(&self) -> bool {
        self.0.borrow().has_sent_all
    }

    fn has_reset(&self) -> bool {
        self.0.borrow().temper.patience == 0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut line = self.0.borrow_mut();
        line.is_dropped = true;
        line.wake_client();
    }
}

impl Peer {
    pub(super) fn watcher(&self) -> Watcher {
        Watcher(self.0.clone())
    }

    pub(super) fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut line = self.0.borrow_mut();
        line.sent.extend(bytes.as_ref());
        line.wake_server();
    }

    pub(super) fn send_end(&self) {
        let mut line = self.0.borrow_mut();
        line.has_sent_all = true;
        line.wake_server();
    }

    /// The next read or write of the server fails.
    pub(super) fn reset(&self) {
        let mut line = self.0.borrow_mut();
        line.temper.patience = 0;
        line.wake_server();
    }

    /// Takes that many bytes more, and then none.
    pub(super) fn take_only(&self, room: usize) {
        let mut line = self.0.borrow_mut();
        line.room = room;
        line.wake_server();
    }

    /// What the server has not read yet.
    pub(super) fn unread(&self) -> usize {
        self.0.borrow().sent.len()
    }

    /// Whether that happens, or has happened, with a reset.
    pub(super) fn is_reset(&self) -> bool {
        self.0.borrow().is_reset
    }

    /// Whether the server has let go of the connection.
    pub(super) fn is_dropped(&self) -> bool {
        self.0.borrow().is_dropped
    }

    /// Whether the server has ended its half or let go.
    pub(super) fn is_over(&self) -> bool {
        let line = self.0.borrow();
        line.is_shut_down || line.is_dropped
    }

    /// Nothing has come that was not read, and no end.
    pub(super) fn is_silent(&self) -> bool {
        let line = self.0.borrow();
        line.received.is_empty() && !line.is_shut_down && !line.is_dropped
    }

    /// Waits until `take` finds what it wants in what has come.
    async fn wait<T>(&self, mut take: impl FnMut(&mut Line) -> Option<T>) -> T {
        let wait = poll_fn(|cx| {
            let mut line = self.0.borrow_mut();
            if let Some(found) = take(&mut line) {
                return Poll::Ready(found);
            }
            line.client = Some(cx.waker().clone());
            Poll::Pending
        });
        timeout(NEVER, wait).await.unwrap()
    }

    pub(super) async fn read_head(&self) -> String {
        self.wait(|line| {
            let bytes = line.received.make_contiguous();
            let len = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
            assert!(len <= MAX_HEAD);
            let head: Vec<u8> = line.received.drain(..len).collect();
            Some(String::from_utf8(head).unwrap())
        })
        .await
    }

    /// The next frame: its first byte and its payload.
    pub(super) async fn read(&self) -> (u8, Vec<u8>) {
        self.wait(|line| {
            let bytes = line.received.make_contiguous();
            let (start, len) = match *bytes {
                [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
                [_, 127, _, _, _, _, a, b, c, d, ..] => (
                    10,
                    usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap(),
                ),
                [_, len @ 0..126, ..] => (2, usize::from(len)),
                _ => {
                    assert!(!line.is_shut_down && !line.is_dropped, "no further frame");
                    return None;
                }
            };
            if bytes.len() < start + len {
                assert!(!line.is_shut_down && !line.is_dropped, "a cut frame");
                return None;
            }
            let first = bytes[0];
            let payload = bytes[start..start + len].to_vec();
            line.received.drain(..start + len);
            Some((first, payload))
        })
        .await
    }

    /// Waits for the server's half of the end of TCP.
    pub(super) async fn expect_shut_down(&self) {
        self.wait(|line| line.is_shut_down.then_some(())).await;
        assert!(self.0.borrow().received.is_empty());
    }

    /// Waits until the server lets go.
    pub(super) async fn expect_drop(&self) {
        self.wait(|line| line.is_dropped.then_some(())).await;
    }

    /// What comes next, without waiting for more of it; nothing at the end.
    pub(super) async fn read_any(&self) -> Vec<u8> {
        self.wait(|line| {
            let is_over = line.is_shut_down || line.is_dropped;
            (is_over || !line.received.is_empty()).then(|| line.received.drain(..).collect())
        })
        .await
    }

    /// Everything that has come.
    pub(super) fn take_received(&self) -> Vec<u8> {
        self.0.borrow_mut().received.drain(..).collect()
    }
}
