//! The question whether a client may come in: its upgrade request, and the way back for the decision, which any thread
//! may give.

use crate::endpoint::Peer;
use crate::protocol::head::Head;
use crate::protocol::http::{Fields, Response};
use crate::tls::TlsFacts;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

/// What becomes of an upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// 101.
    Accept {
        /// Header lines to add to it.
        fields: Fields,
        /// One of the subprotocols that the client has offered; `None` leaves the choice to `Config::subprotocols`.
        subprotocol: Option<String>,
    },
    /// This response, and the end of the connection.
    Refuse(Response),
    /// Who was asked can't tell: 500.
    Fail,
    /// No response: the end of the connection.
    Silence,
    /// No response: the connection is reset.
    Reset,
    /// No response, and no end: the client waits until it goes, or the server does.
    Hang,
    /// This decision after that time; without one whoever decides is asked then, for the second time.
    Delay(Duration, Option<Box<Self>>),
    /// 101, with what must not be in it.
    Trick(Trick),
    /// This 101 if whoever decides accepts, who is asked first; else what that says.
    Asked(Box<Self>),
}

/// What a client has to fail a handshake for (RFC 6455 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trick {
    /// A `Sec-WebSocket-Accept` that does not answer its key.
    Accept,
    /// A subprotocol that it may not have offered.
    Subprotocol(String),
    /// The line for extensions, which it may not have offered; none is spoken.
    Extension(Fields),
}

impl Decision {
    /// 101, as without anybody asked.
    #[must_use]
    pub fn accept() -> Self {
        Self::Accept {
            fields: Fields::default(),
            subprotocol: None,
        }
    }

    /// Whether it says what the request gets, be it after a delay.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Delay(_, then) => then.as_ref().is_some_and(|then| then.is_whole()),
            _ => true,
        }
    }

    /// The same, with what it gets then where this does not say that.
    pub(crate) fn and_then(self, last: Option<Self>) -> Self {
        match self {
            Self::Delay(time, None) => Self::Delay(time, last.map(Box::new)),
            Self::Delay(time, Some(then)) => Self::Delay(time, Some(Box::new(then.and_then(last)))),
            whole => whole,
        }
    }

    /// The subprotocol that it chooses, be it after a delay.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        match self {
            Self::Accept { subprotocol, .. } => subprotocol.as_deref(),
            Self::Delay(_, then) => then.as_ref()?.subprotocol(),
            Self::Asked(then) => then.subprotocol(),
            Self::Refuse(_)
            | Self::Fail
            | Self::Silence
            | Self::Reset
            | Self::Hang
            | Self::Trick(_) => None,
        }
    }
}

/// Why a decision was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// The subprotocol is none that the client has offered (RFC 6455 section 4.2.2). Another decision is awaited.
    NotOffered,
    /// It was decided before.
    Decided,
    /// It came after `open_timeout`, when the client had got its 503.
    Late,
    /// The client or the server is gone.
    Gone,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Decided(Decision),
    Over(Unheard),
}

/// An upgrade request that somebody is asked about. Stays readable after the decision.
///
/// ```
/// use echoserver::admission::{Decision, Request};
/// use echoserver::config::Config;
/// use echoserver::handler::{Handler, Wants};
/// use echoserver::protocol::http::{Fields, Response};
/// use echoserver::{server::Server, tungstenite};
/// use std::sync::Arc;
///
/// /// Lets in who has a token.
/// #[derive(Debug)]
/// struct Doorkeeper;
///
/// impl Handler for Doorkeeper {
///     fn wants(&self) -> Wants {
///         Wants::HANDSHAKE
///     }
///
///     fn on_handshake(&self, request: &Arc<Request>) {
///         let query = request.head().map(|head| head.query().to_owned());
///         let decision = if query.as_deref() == Some("token=7") {
///             Decision::accept()
///         } else {
///             let response = Response::text(401, Fields::default(), "a token, please");
///             response.map_or(Decision::Fail, Decision::Refuse)
///         };
///         // Nobody hears it if the client is gone.
///         let _ = request.decide(decision);
///     }
/// }
///
/// let config = Config { host: vec!["127.0.0.1".into()], port: 0, ..Config::default() };
/// let server = Server::bind(config, Arc::new(Doorkeeper))?;
/// server.start()?;
/// let refused = tungstenite::connect(format!("ws://{}/", server.address()));
/// let Err(tungstenite::Error::Http(response)) = refused else { panic!("{refused:?}") };
/// assert_eq!(response.status(), 401);
/// tungstenite::connect(format!("ws://{}/?token=7", server.address()))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Request {
    /// The client's address.
    pub peer: Peer,
    /// The balancer that has connected for it and has said so by the PROXY protocol (`Config::proxy_from`).
    pub proxied_by: Option<Peer>,
    /// What its TLS handshake agreed on; `None` without TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// When it was there.
    pub time: SystemTime,
    head: Box<[u8]>,
    state: Mutex<State>,
    /// Of the response; 0 before there is one.
    status: AtomicU16,
    /// It is asked about for the second time.
    is_delayed: AtomicBool,
}

impl Request {
    pub(crate) fn new(
        peer: Peer,
        proxied_by: Option<Peer>,
        tls: Option<Arc<TlsFacts>>,
        head: Box<[u8]>,
    ) -> Self {
        Self {
            peer,
            proxied_by,
            tls,
            time: SystemTime::now(),
            head,
            state: Mutex::new(State::Waiting(None)),
            status: AtomicU16::new(0),
            is_delayed: AtomicBool::new(false),
        }
    }

    /// The status of the response, once there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Acquire)).filter(|&status| status != 0)
    }

    pub(crate) fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    /// Bytes that it counts for itself, whoever keeps it.
    pub(crate) const fn cost(&self) -> usize {
        size_of::<Self>() + self.head.len()
    }

    /// Request line and headers.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_>> {
        Head::parse(&self.head)
    }

    /// Whether a decision is awaited.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(*self.lock(), State::Waiting(_))
    }

    /// Whether the client has offered the subprotocol that is chosen, if one is.
    pub(crate) fn has_offered(&self, decision: &Decision) -> bool {
        decision.subprotocol().is_none_or(|chosen| {
            let head = self.head();
            head.is_some_and(|head| head.subprotocols().any(|offer| offer == chosen))
        })
    }

    /// Decides. Any thread; never blocks.
    ///
    /// # Errors
    /// [`Unheard`] if that changes nothing.
    pub fn decide(&self, decision: Decision) -> Result<(), Unheard> {
        if !self.has_offered(&decision) {
            return Err(Unheard::NotOffered);
        }
        let mut state = self.lock();
        let waker = match &mut *state {
            State::Waiting(waker) => waker.take(),
            State::Decided(_) => return Err(Unheard::Decided),
            State::Over(why) => return Err(*why),
        };
        *state = State::Decided(decision);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether it was decided before to ask later.
    #[must_use]
    pub fn is_delayed(&self) -> bool {
        self.is_delayed.load(Ordering::Acquire)
    }

    /// Another decision is awaited.
    pub(crate) fn ask_again(&self) {
        self.is_delayed.store(true, Ordering::Release);
        *self.lock() = State::Waiting(None);
    }

    /// The decision, once; the task is woken for it.
    pub(crate) fn poll_decided(&self, cx: &Context<'_>) -> Poll<Decision> {
        let mut state = self.lock();
        if let State::Waiting(waker) = &mut *state {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match mem::replace(&mut *state, State::Over(Unheard::Decided)) {
            State::Decided(decision) => Poll::Ready(decision),
            other => {
                *state = other;
                Poll::Pending
            }
        }
    }

    /// Waits no longer, unless it was decided in this moment.
    pub(crate) fn give_up(&self, why: Unheard) -> Option<Decision> {
        let mut state = self.lock();
        let over = match &*state {
            State::Over(before) => *before,
            State::Decided(_) => Unheard::Decided,
            State::Waiting(_) => why,
        };
        let before = mem::replace(&mut *state, State::Over(over));
        // The waker is dropped after the lock: the runtime behind it may go with it.
        drop(state);
        match before {
            State::Decided(decision) => Some(decision),
            State::Waiting(_) | State::Over(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
