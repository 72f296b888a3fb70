//! Answers instead of echoes, in Rust: `cargo run --example room [PORT]`.
//!
//! A room: what one client says goes to all others, with its number before it, and who says it hears how many that are.
//! Only who asks for `/room` comes in. It serves until its standard input ends or a line comes.

use echoserver::admission::{Decision, Request};
use echoserver::client::Client;
use echoserver::config::Config;
use echoserver::handler::{Batch, Gate, Handler, Wants};
use echoserver::order::{Order, Replies};
use echoserver::protocol::frame::server_frame;
use echoserver::protocol::http::{Fields, Response};
use echoserver::protocol::message::Kind;
use echoserver::server::Server;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes that may wait for one client.
const QUEUE: usize = 1 << 20;

/// Who is in it.
#[derive(Debug, Default)]
struct Room(Mutex<BTreeMap<u64, Arc<Client>>>);

impl Room {
    /// Calls `act` with the clients. Workers call at the same time.
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<u64, Arc<Client>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells all but one, and returns how many these are.
    fn tell(&self, from: u64, text: &str) -> usize {
        self.with(|clients| {
            let others = clients.values().filter(|other| other.id != from);
            // Who is closing, or does not read, misses it.
            others
                .filter(|other| other.send(Kind::Text, text, QUEUE).is_ok())
                .count()
        })
    }
}

impl Handler for Room {
    fn wants(&self) -> Wants {
        Wants::HANDSHAKE | Wants::OPEN | Wants::TEXT | Wants::CLOSE
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        let is_ours = request.head().is_some_and(|head| head.path() == "/room");
        let decision = if is_ours {
            Decision::accept()
        } else {
            Response::text(404, Fields::default(), "there is only /room\n")
                .map_or(Decision::Fail, Decision::Refuse)
        };
        // Who is gone meanwhile needs no decision.
        let _ = request.decide(decision);
    }

    fn on_open(&self, client: &Arc<Client>) -> Gate {
        self.with(|clients| clients.insert(client.id, client.clone()));
        Gate::Open
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        let mut replies = Replies::default();
        for (kind, payload) in &batch.messages {
            let said = String::from_utf8_lossy(&batch.wire[payload.clone()]);
            let heard = self.tell(client.id, &format!("{}: {said}", client.id));
            let answer = format!("to {heard}");
            let frame = server_frame(kind.opcode(), answer.as_bytes());
            replies.wire.extend(frame);
            replies.ends.push(replies.wire.len());
            replies.answered += payload.len();
        }
        client.order(Order::Replies(replies));
    }

    fn on_close(&self, client: &Arc<Client>) {
        self.with(|clients| clients.remove(&client.id));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let config = Config {
        host: vec!["127.0.0.1".into()],
        port: port.parse()?,
        ..Config::default()
    };
    let server = Server::bind(config, Arc::new(Room::default()))?;
    server.start()?;
    writeln!(stdout(), "ws://{}/room", server.address())?;
    stdin().read_line(&mut String::new())?;
    server.stop(Duration::from_secs(5));
    assert!(server.wait(None), "it was started");
    Ok(())
}
