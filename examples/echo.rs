//! The echo server in a Rust program, without Python: `cargo run --example echo [PORT]`.
//!
//! It listens on the loopback interface, on a free port unless one is given, and serves until its standard input ends
//! or a line comes: press Enter.

use echoserver::config::Config;
use echoserver::handler::Echo;
use echoserver::server::Server;
use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let config = Config {
        host: vec!["127.0.0.1".into()],
        port: port.parse()?,
        ..Config::default()
    };
    let server = Server::bind(config, Arc::new(Echo))?;
    server.start()?;
    writeln!(stdout(), "ws://{}/", server.address())?;

    stdin().read_line(&mut String::new())?;

    // Every client is told 1001; who does not answer in that time is dropped.
    server.stop(Duration::from_secs(5));
    assert!(server.wait(None), "it was started");
    let stats = server.stats();
    let (clients, messages) = (stats.clients_opened, stats.messages_sent);
    writeln!(stdout(), "{clients} clients, {messages} messages")?;
    Ok(())
}
