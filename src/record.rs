//! What a server's clients did, kept for those who read it later: requests, clients, messages, pongs and ends, in the
//! order in which they were seen. For tests; nobody answers anything here.
//!
//! Messages are kept as the frames that would echo them, one entry for those of one read. They show once their answers
//! have their place in the output: until then they are hidden. What is kept is charged to `memory_limit`, and bounded
//! by `record`: beyond that nothing more is kept until [`Record::clear`], and whoever asks for what is missing hears so.

mod reading;
pub mod waiting;

use crate::admission::Request;
use crate::client::Client;
use crate::protocol::account::{Account, Memory};
use crate::protocol::frame::{self, MAX_SERVER_HEADER, split_server_frame};
use crate::protocol::message::Kind;
use crate::wakers::Wakers;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

/// A message.
pub type Message = (Kind, Vec<u8>);

/// What was next, if there was any, and whether its client is gone.
pub type Taken<T> = (Option<T>, bool);

/// What is asked for may have come when nothing was kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing;

/// What has happened, and when.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it was seen.
    pub time: SystemTime,
    /// What it was.
    pub what: What,
}

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A request has come. Its status follows.
    Request(Arc<Request>),
    /// A client has got its 101.
    Opened(Arc<Client>),
    /// Messages have come, as whole frames of a server.
    Messages(Arc<Client>, Arc<Vec<u8>>),
    /// A pong has come, with this payload.
    Pong(Arc<Client>, Box<[u8]>),
    /// A client is gone.
    Ended(Arc<Client>),
}

impl What {
    /// Bytes that are kept for it.
    fn cost(&self) -> usize {
        // The log doubles as it grows.
        let kept = match self {
            Self::Request(request) => request.cost(),
            Self::Messages(_, frames) => frames.capacity() + size_of::<Vec<u8>>(),
            Self::Pong(_, payload) => 2 * payload.len(),
            Self::Opened(_) | Self::Ended(_) => 0,
        };
        2 * (size_of::<Entry>() + size_of::<usize>()) + kept
    }
}

/// The messages in whole frames of a server.
pub fn messages(frames: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (first, payload, after) = split_server_frame(rest)?;
        rest = after;
        Some((Kind::of_frame(first), payload))
    })
}

/// Appends a message to `frames`.
pub(crate) fn push<'a>(
    frames: &mut Vec<u8>,
    kind: Kind,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) {
    let mut header = [0; MAX_SERVER_HEADER];
    let header_len = frame::write_server_header(&mut header, true, kind.opcode(), len);
    frames.reserve(header_len + len);
    frames.extend_from_slice(&header[..header_len]);
    pieces.for_each(|piece| frames.extend_from_slice(piece));
}

/// The record of one server.
#[derive(Debug)]
pub struct Record {
    /// Bytes that may still be kept; none once something is missing. A look before anything is copied.
    room: AtomicUsize,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    /// Goes up with everything that happens.
    count: u64,
    /// Since the beginning, or since it was cleared.
    log: Vec<Entry>,
    clients: BTreeMap<u64, Kept>,
    /// In the order of their 101s.
    order: Vec<u64>,
    /// Those of them that nobody has taken.
    unaccepted: VecDeque<u64>,
    account: Account,
    /// Bytes kept, altogether and in the log alone.
    cost: usize,
    log_cost: usize,
    /// Bytes that may be.
    bound: usize,
    is_cut: bool,
    is_over: bool,
    /// Threads and tasks that wait for news.
    threads: usize,
    tasks: Wakers,
}

/// What is kept of a client.
#[derive(Debug)]
struct Kept {
    client: Arc<Client>,
    /// What the client costs stays charged.
    _charge: Option<Arc<Account>>,
    /// Where in the log its messages are, and how far they were read: the entry, and the byte in it.
    entries: Vec<usize>,
    read: (usize, usize),
    /// Messages that have no answer yet.
    hidden: Vec<u8>,
    hidden_count: usize,
    pongs: VecDeque<Box<[u8]>>,
    has_ended: bool,
}

impl Record {
    /// A record of at most `bound` bytes, charged to `memory`.
    #[must_use]
    pub fn new(bound: usize, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            room: AtomicUsize::new(bound),
            state: Mutex::new(State {
                count: 0,
                log: Vec::new(),
                clients: BTreeMap::new(),
                order: Vec::new(),
                unaccepted: VecDeque::new(),
                account: Account::new(memory),
                cost: 0,
                log_cost: 0,
                bound,
                is_cut: false,
                is_over: false,
                threads: 0,
                tasks: Wakers::default(),
            }),
            news: Condvar::new(),
        })
    }

    /// A request has come.
    pub(crate) fn requested(&self, request: &Arc<Request>) {
        let mut state = self.lock();
        state.log(What::Request(request.clone()));
        self.tell(state);
    }

    /// A request was answered, which it knows itself.
    pub(crate) fn decided(&self) {
        self.tell(self.lock());
    }

    /// A client has got its 101.
    pub(crate) fn opened(&self, client: &Arc<Client>) {
        let mut state = self.lock();
        if state.log(What::Opened(client.clone())) && state.know(client).is_some() {
            state.order.push(client.id);
            state.unaccepted.push_back(client.id);
        }
        self.tell(state);
    }

    /// Whether `len` more bytes of messages may be kept; if not, something is missing from now on.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let has_room = len <= self.room.load(Ordering::Relaxed);
        if !has_room {
            let mut state = self.lock();
            state.is_cut = true;
            self.tell(state);
        }
        has_room
    }

    /// A client's messages have come, whole frames; of all that it has sent, `unanswered` have no answer yet.
    pub(crate) fn received(&self, client: &Arc<Client>, frames: Vec<u8>, unanswered: usize) {
        let mut state = self.lock();
        if let Some(kept) = state.know(client) {
            if unanswered == 0 && kept.hidden.is_empty() {
                state.show(client, frames);
            } else {
                state.hide(client, &frames);
                state.unhide(client, unanswered);
            }
        }
        self.tell(state);
    }

    /// Of a client's messages `unanswered` have no answer yet.
    pub(crate) fn answered(&self, client: &Client, unanswered: usize) {
        let mut state = self.lock();
        if state.unhide(client, unanswered) {
            self.tell(state);
        }
    }

    /// A pong has come.
    pub(crate) fn ponged(&self, client: &Arc<Client>, payload: &[u8]) {
        let mut state = self.lock();
        if state.log(What::Pong(client.clone(), payload.into()))
            && let Some(kept) = state.know(client)
        {
            kept.pongs.push_back(payload.into());
        }
        self.tell(state);
    }

    /// A client is gone, and [`Client::ended`] says how.
    pub(crate) fn ended(&self, client: &Arc<Client>) {
        let mut state = self.lock();
        state.unhide(client, 0);
        if let Some(kept) = state.clients.get_mut(&client.id) {
            kept.has_ended = true;
        }
        state.log(What::Ended(client.clone()));
        self.tell(state);
    }

    /// The server has ended: nothing follows.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        self.tell(state);
    }

    /// Something has happened: tells those who wait.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.count += 1;
        self.room.store(state.room(), Ordering::Relaxed);
        if state.threads > 0 {
            self.news.notify_all();
        }
        let tasks = state.tasks.take();
        drop(state);
        tasks.for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Bytes that may still be kept.
    const fn room(&self) -> usize {
        if self.is_cut {
            0
        } else {
            self.bound.saturating_sub(self.cost)
        }
    }

    /// Charges what is about to be kept, of which `own` bytes are charged elsewhere: `false` if there is no room, and
    /// then something is missing from now on.
    fn charge(&mut self, bytes: usize, own: usize) -> bool {
        if bytes + own > self.room() || self.account.charge(bytes).is_err() {
            self.is_cut = true;
            return false;
        }
        self.cost += bytes + own;
        true
    }

    fn release(&mut self, bytes: usize) {
        self.cost -= bytes;
        self.account.release(bytes);
    }

    /// Keeps what has happened: `false` if there is no room for it.
    fn log(&mut self, what: What) -> bool {
        let cost = what.cost();
        if !self.charge(cost, 0) {
            return false;
        }
        self.log_cost += cost;
        let time = SystemTime::now();
        self.log.push(Entry { time, what });
        true
    }

    /// What is kept of a client, from now on if it is a new one; `None` if there is no room for it.
    fn know(&mut self, client: &Arc<Client>) -> Option<&mut Kept> {
        if !self.clients.contains_key(&client.id) {
            // A map and two lists of identifiers, which double.
            let cost = 2 * size_of::<Kept>();
            if !self.charge(cost, client.own_cost()) {
                return None;
            }
            let kept = Kept {
                client: client.clone(),
                _charge: client.charge(),
                entries: Vec::new(),
                read: (0, 0),
                hidden: Vec::new(),
                hidden_count: 0,
                pongs: VecDeque::new(),
                has_ended: false,
            };
            self.clients.insert(client.id, kept);
        }
        self.clients.get_mut(&client.id)
    }

    /// Keeps messages that can be read from now on.
    fn show(&mut self, client: &Arc<Client>, mut frames: Vec<u8>) {
        if frames.len() < frames.capacity() / 2 {
            frames.shrink_to_fit();
        }
        if self.log(What::Messages(client.clone(), Arc::new(frames)))
            && let Some(kept) = self.clients.get_mut(&client.id)
        {
            kept.entries.push(self.log.len() - 1);
        }
    }

    /// Keeps messages that have no answers yet.
    fn hide(&mut self, client: &Client, frames: &[u8]) {
        if self.charge(frames.len(), 0)
            && let Some(kept) = self.clients.get_mut(&client.id)
        {
            kept.hidden_count += messages(frames).count();
            kept.hidden.extend_from_slice(frames);
        }
    }

    /// Of a client's messages `unanswered` have no answer yet: shows the others; whether there were any.
    fn unhide(&mut self, client: &Client, unanswered: usize) -> bool {
        let Some(kept) = self.clients.get_mut(&client.id) else {
            return false;
        };
        let shown = kept.hidden_count.saturating_sub(unanswered);
        if shown == 0 {
            return false;
        }
        let mut rest = &kept.hidden[..];
        for _ in 0..shown {
            rest = split_server_frame(rest).map_or(&[], |(_, _, rest)| rest);
        }
        let left = rest.to_vec();
        kept.hidden.truncate(kept.hidden.len() - left.len());
        kept.hidden_count -= shown;
        let frames = mem::replace(&mut kept.hidden, left);
        let client = kept.client.clone();
        self.release(frames.len());
        self.show(&client, frames);
        true
    }
}
