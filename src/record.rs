//! What a server's clients did, kept for those who read it later: requests, clients, messages, pongs and ends, in the
//! order in which they were seen. For tests; nobody answers anything here.
//!
//! Messages are kept as the frames that would echo them, one entry for those of one read. They show once their answers
//! have their place in the output: until then they are hidden. What is kept is charged to `memory_limit`, and bounded
//! by `record`: beyond that nothing more is kept until it is cleared, and whoever asks for what is missing hears so.

mod frames;
mod hidden;
pub mod listing;
pub(crate) mod moment;
pub mod news;
mod reading;

use crate::admission::Request;
use crate::client::Client;
use crate::client::held::Held;
use crate::protocol::account::{Account, Memory};
use crate::protocol::message::Kind;
use hidden::Hidden;
use news::News;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use frames::messages;

/// Messages, as whole frames of a server.
pub type Frames = Arc<Vec<u8>>;

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
    Messages(Arc<Client>, Frames),
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

/// The record of one server.
#[derive(Debug)]
pub struct Record {
    /// Bytes that may still be kept; none once something is missing. A look before anything is copied.
    room: AtomicUsize,
    state: Mutex<State>,
    /// Of this and of all else that those who read may look at.
    pub news: Arc<News>,
}

#[derive(Debug)]
struct State {
    /// Since the beginning, or since it was cleared.
    log: Vec<Entry>,
    /// Messages in it, and lines of a story that it makes.
    messages: usize,
    lines: usize,
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
}

/// What is kept of a client.
#[derive(Debug)]
struct Kept {
    client: Arc<Client>,
    /// What the client costs stays charged.
    _charge: Option<Held>,
    /// Where in the log its messages are, how many, and how far they were read: the entry, and the byte in it.
    entries: Vec<usize>,
    messages: usize,
    read: (usize, usize),
    /// Messages that have no answer yet.
    hidden: Hidden,
    pongs: VecDeque<Box<[u8]>>,
    has_ended: bool,
}

impl Kept {
    /// Bytes that are charged for it: a map and two lists of identifiers, which double.
    const COST: usize = 2 * size_of::<Self>();
}

impl Record {
    /// A record of at most `bound` bytes, charged to `memory`.
    #[must_use]
    pub fn new(bound: usize, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            room: AtomicUsize::new(bound),
            state: Mutex::new(State {
                log: Vec::new(),
                messages: 0,
                lines: 0,
                clients: BTreeMap::new(),
                order: Vec::new(),
                unaccepted: VecDeque::new(),
                account: Account::new(memory),
                cost: 0,
                log_cost: 0,
                bound,
                is_cut: false,
                is_over: false,
            }),
            news: Arc::default(),
        })
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
        self.log_lines(what, 1)
    }

    fn log_lines(&mut self, what: What, lines: usize) -> bool {
        let cost = what.cost();
        if !self.charge(cost, 0) {
            return false;
        }
        self.log_cost += cost;
        self.lines += lines;
        let time = SystemTime::now();
        self.log.push(Entry { time, what });
        true
    }

    /// What is kept of a client, from now on if it is a new one; `None` if there is no room for it.
    fn know(&mut self, client: &Arc<Client>) -> Option<&mut Kept> {
        if !self.clients.contains_key(&client.id) {
            if !self.charge(Kept::COST, client.own_cost()) {
                return None;
            }
            let kept = Kept {
                client: client.clone(),
                _charge: client.charge(),
                entries: Vec::new(),
                messages: 0,
                read: (0, 0),
                hidden: Hidden::default(),
                pongs: VecDeque::new(),
                has_ended: false,
            };
            self.clients.insert(client.id, kept);
            self.order.push(client.id);
        }
        self.clients.get_mut(&client.id)
    }

    /// Keeps messages that can be read from now on.
    fn show(&mut self, client: &Arc<Client>, mut frames: Vec<u8>) {
        if frames.len() < frames.capacity() / 2 {
            frames.shrink_to_fit();
        }
        let count = messages(&frames).count();
        if self.log_lines(What::Messages(client.clone(), Arc::new(frames)), count)
            && let Some(kept) = self.clients.get_mut(&client.id)
        {
            self.messages += count;
            kept.messages += count;
            kept.entries.push(self.log.len() - 1);
        }
    }

    /// Keeps messages that have no answers yet.
    fn hide(&mut self, client: &Client, frames: &[u8]) {
        let fits = self.charge(frames.len(), 0);
        let Some(kept) = self.clients.get_mut(&client.id) else {
            return;
        };
        if fits {
            kept.hidden.push(frames);
        } else {
            kept.hidden.lose(messages(frames).count());
        }
    }

    /// Of a client's messages `unanswered` have no answer yet: shows the others.
    fn unhide(&mut self, client: &Client, unanswered: usize) {
        if let Some(kept) = self.clients.get_mut(&client.id)
            && let Some(frames) = kept.hidden.take(unanswered)
        {
            let client = kept.client.clone();
            self.release(frames.len());
            self.show(&client, frames);
        }
    }
}
