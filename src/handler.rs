//! The port between the server and whoever answers its clients.
//!
//! All methods run on a worker's thread and must not block: who needs time takes what it is given elsewhere and
//! answers through [`Client::order`] or [`Request::decide`].

use crate::admission::{Decision, Request};
use crate::client::{Client, Letter};
use crate::endpoint::Peer;
use crate::mailbox::Mailbox;
use crate::protocol::account::{self, Account};
use crate::protocol::frame;
use crate::protocol::message::Kind;
use crate::protocol::tally::Tally;
use smallvec::SmallVec;
use std::fmt::Debug;
use std::ops::{BitOr, Range};
use std::sync::Arc;
use std::time::Duration;

/// What a handler wants to hear of. Everything else is answered without it.
///
/// ```
/// use echoserver::handler::Wants;
/// use echoserver::protocol::message::Kind;
///
/// let wants = Wants::OPEN | Wants::TEXT;
/// assert!(wants.has(Wants::OPEN) && wants.has_kind(Kind::Text));
/// assert!(wants.echoes(Kind::Binary) && !wants.echoes(Kind::Text));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants(u32);

impl Wants {
    /// Nothing: a native echo.
    pub const NOTHING: Self = Self(0);
    /// New clients.
    pub const OPEN: Self = Self(1);
    /// Text messages.
    pub const TEXT: Self = Self(1 << 1);
    /// Binary messages.
    pub const BINARY: Self = Self(1 << 2);
    /// Messages of all kinds.
    pub const MESSAGES: Self = Self(Self::TEXT.0 | Self::BINARY.0);
    /// Clients that are gone.
    pub const CLOSE: Self = Self(1 << 3);
    /// Upgrade requests, before they are answered.
    pub const HANDSHAKE: Self = Self(1 << 4);
    /// Messages of a kind that is not wanted are swallowed, and not echoed.
    pub const SILENCE: Self = Self(1 << 5);
    /// Pongs that answer a ping of the application's.
    pub const PONG: Self = Self(1 << 6);
    /// What there was of each client, at its end: of those that come from then on.
    pub const SUMMARY: Self = Self(1 << 7);
    /// Those who do not get in, and why: requests that are refused, failures of TLS, and of accepting.
    pub const REFUSAL: Self = Self(1 << 8);
    /// Not the handler's: every message is to be recorded.
    pub(crate) const RECORD: Self = Self(1 << 9);
    /// Nor this: something is to be asked about every message of this connection.
    pub(crate) const SLOW: Self = Self(1 << 10);
    /// Of messages that are wanted, in which frames they came, if in several: of clients that come from then on.
    pub const FRAMES: Self = Self(1 << 11);
    /// Plain requests, answered as such.
    pub const PLAIN: Self = Self(1 << 12);

    /// Whether something of `other` is wanted.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As a number, for keeping in an atomic.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Self::bits`].
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether messages of this kind are wanted.
    #[must_use]
    pub const fn has_kind(self, kind: Kind) -> bool {
        self.has(Self::of_kind(kind))
    }

    /// Whether messages of this kind are echoed.
    #[must_use]
    pub const fn echoes(self, kind: Kind) -> bool {
        self.0 & (Self::SILENCE.0 | Self::of_kind(kind).0) == 0
    }

    /// Whether messages of this kind are echoed, and nobody wants to see them.
    pub(crate) const fn passes(self, kind: Kind) -> bool {
        let seen = Self::SILENCE.0 | Self::RECORD.0 | Self::SLOW.0;
        self.0 & (seen | Self::of_kind(kind).0) == 0
    }

    const fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::TEXT,
            Kind::Binary => Self::BINARY,
        }
    }
}

impl BitOr for Wants {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether a new client's messages are taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// At once.
    Open,
    /// After [`Order::Admit`](crate::order::Order::Admit).
    Later,
}

/// Messages of one client that came together, as frames that can be sent back as they lie.
#[derive(Debug)]
pub struct Batch {
    /// Whole server frames, one per message. Their first byte may have a mark that it has to have when they are sent
    /// back as they are (`frame::AS_IT_IS`).
    pub wire: Vec<u8>,
    /// What they are and where the payloads lie in `wire`.
    pub messages: SmallVec<[(Kind, Range<usize>); 1]>,
    /// Of those that came in several frames the place among `messages`, and how many bytes of payload each frame had;
    /// in their order, and only with [`Wants::FRAMES`].
    pub frames: Vec<(usize, Vec<usize>)>,
    /// Holds the charge for all of it.
    account: Account,
}

impl Batch {
    /// A batch that has room for `room` bytes of frames, and for `count` messages.
    pub(crate) fn new(account: Account, room: usize, count: usize) -> Self {
        Self {
            wire: account::buffer(room),
            messages: SmallVec::with_capacity(count),
            frames: Vec::new(),
            account,
        }
    }

    /// Appends a message, whose payload of `len` bytes comes in pieces; `mark` goes into the first byte of its frame.
    /// `false` if that passes the memory limit.
    pub(crate) fn push<'a>(
        &mut self,
        kind: Kind,
        mark: u8,
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        let frame = self.wire.len();
        let header_len = frame::push_server_frame(&mut self.wire, kind.opcode(), len, pieces);
        self.wire[frame] |= mark;
        let start = frame + header_len;
        self.messages.push((kind, start..start + len));
        self.account
            .charge_anyway(header_len + len + size_of::<(Kind, Range<usize>)>())
    }

    /// The message that was appended last came in frames of these lengths. `false` as before.
    pub(crate) fn push_frames(&mut self, lengths: Vec<usize>) -> bool {
        let size = size_of_val(&lengths[..]) + size_of::<(usize, Vec<usize>)>();
        self.frames.push((self.messages.len() - 1, lengths));
        self.account.charge_anyway(size)
    }

    /// Gives back room that was not needed; much of it is left if most messages were of a kind that is not wanted.
    pub(crate) fn trim(&mut self) {
        if self.wire.len() < self.wire.capacity() / 2 {
            self.wire.shrink_to_fit();
        }
        if self.messages.len() < self.messages.capacity() / 2 {
            self.messages.shrink_to_fit();
        }
    }
}

/// What there was of a client, from its 101 to its end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What it has sent.
    pub received: Tally,
    /// What it was sent.
    pub sent: Tally,
    /// How long that was, to the millisecond.
    pub time: Duration,
}

/// What is counted of callbacks.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Callbacks {
    /// Those that have failed.
    pub errors: u64,
    /// How long those of each name have run, without what they have waited for as coroutines.
    pub times: Vec<(&'static str, Duration)>,
}

/// Answers a server's clients. What one more event has to heed is in `docs/design.md`.
///
/// ```
/// use echoserver::client::Client;
/// use echoserver::config::Config;
/// use echoserver::handler::{Batch, Handler, Wants};
/// use echoserver::order::{Order, Replies};
/// use echoserver::protocol::frame::server_frame;
/// use echoserver::{server::Server, tungstenite};
/// use std::sync::Arc;
///
/// /// Text comes back backwards; bytes are echoed, since they are not wanted.
/// #[derive(Debug)]
/// struct Backwards;
///
/// impl Handler for Backwards {
///     fn wants(&self) -> Wants {
///         Wants::TEXT
///     }
///
///     fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
///         let mut replies = Replies::default();
///         for (kind, payload) in &batch.messages {
///             let text = String::from_utf8_lossy(&batch.wire[payload.clone()]);
///             let answer: String = text.chars().rev().collect();
///             replies.wire.extend(server_frame(kind.opcode(), answer.as_bytes()));
///             replies.ends.push(replies.wire.len());
///             replies.answered += payload.len();
///         }
///         client.order(Order::Replies(replies));
///     }
/// }
///
/// let config = Config { host: vec!["127.0.0.1".into()], port: 0, ..Config::default() };
/// let server = Server::bind(config, Arc::new(Backwards))?;
/// server.start()?;
/// let (mut client, _) = tungstenite::connect(format!("ws://{}/", server.address()))?;
/// client.send("één".into())?;
/// client.send(vec![1, 2].into())?;
/// assert_eq!(client.read()?, "néé".into());
/// assert_eq!(client.read()?, vec![1, 2].into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Handler: Send + Sync + Debug {
    /// What it wants to hear of; asked once for every read, so it has to be cheap.
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }

    /// May this client come in? A good upgrade request, which waits for [`Request::decide`] until `open_timeout`. Asked
    /// only with [`Wants::HANDSHAKE`].
    fn on_handshake(&self, request: &Arc<Request>) {
        // Nobody has decided before.
        let _ = request.decide(Decision::accept());
    }

    /// A client has come. Asked only with [`Wants::OPEN`].
    fn on_open(&self, _client: &Arc<Client>) -> Gate {
        Gate::Open
    }

    /// Messages that are wanted. Each of them has to be answered through `Order::Replies`, in order.
    fn on_messages(&self, _client: &Arc<Client>, _batch: Batch) {}

    /// A ping of the application's was answered. Called only with [`Wants::PONG`].
    fn on_pong(&self, _client: &Arc<Client>, _payload: &[u8]) {}

    /// A worker has done what there was to do and is about to sleep. The time to wake somebody else, once for all that
    /// was given since.
    fn on_park(&self) {}

    /// A moment has passed since replies came that said more might follow: what is ready now is to be posted. `true`
    /// if something was, and it is to be asked again. Also the last thing of a worker, which may have been about to ask:
    /// that one's letterbox, which is `worker`, is closed then, and it asks no more.
    fn on_look(&self, _worker: &Arc<Mailbox<Letter>>) -> bool {
        false
    }

    /// A client is gone; nothing of it follows. Called only with [`Wants::CLOSE`], or if the client is known: the handler
    /// was given it or messages of it, or somebody has said so ([`Client::know`]).
    fn on_close(&self, _client: &Arc<Client>) {}

    /// What there was of a client that is gone, before its [`Self::on_close`]. Called only with [`Wants::SUMMARY`], and
    /// only if that was so at its 101.
    fn on_summary(&self, _client: &Arc<Client>, _summary: &Summary) {}

    /// An upgrade request was refused; the reason begins with the status. Called only with [`Wants::REFUSAL`].
    fn on_refusal(&self, _peer: Peer, _reason: &str) {}

    /// A request that asks for no WebSocket was answered; the reason begins with the status. Called only with
    /// [`Wants::PLAIN`].
    fn on_plain(&self, _peer: Peer, _reason: &str) {}

    /// TLS with somebody failed, at the handshake or, if that `was_open`, later: once for a connection. Called only with
    /// [`Wants::REFUSAL`].
    fn on_tls_failure(&self, _peer: Peer, _reason: &str, _was_open: bool) {}

    /// Who may say by the PROXY protocol for whom it has connected has not done so as that has it. Called only with
    /// [`Wants::REFUSAL`].
    fn on_proxy_failure(&self, _peer: Peer, _reason: &str) {}

    /// Connections can't be accepted, for want of descriptors or memory; it is tried again. Called only with
    /// [`Wants::REFUSAL`].
    fn on_accept_failure(&self, _reason: &str) {}

    /// What is counted of callbacks, for whoever watches the server.
    fn callbacks(&self) -> Callbacks {
        Callbacks::default()
    }

    /// All clients are gone and all workers at their end; the last call, once for a server that was started. No lock is
    /// held, and whoever waits for the server waits for this, too.
    fn on_closed(&self) {}
}

/// The native answer: every message goes back from where it was read.
#[derive(Debug, Clone, Copy)]
pub struct Echo;

impl Handler for Echo {}
