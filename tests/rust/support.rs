//! What all tests share: a server that is checked when it ends, and a client that sends and reads raw bytes.

use echoserver::config::Config;
use echoserver::handler::{Echo, Handler};
use echoserver::server::{Server, Stats};
use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// First bytes of frames that are not the only one of their message.
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const BINARY_BEGINS: u8 = 0x02;
pub(crate) const GOES_ON: u8 = 0x00;
pub(crate) const ENDS: u8 = 0x80;

pub(crate) const KEY: [u8; 4] = [0x1b, 0x00, 0xff, 0x5a];

/// A good request, and what belongs between its lines and its end.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The longest wait for anything. Slow machines set `ECHOSERVER_TIMEOUT_FACTOR`.
pub(crate) fn limit() -> Duration {
    within(Duration::from_secs(20))
}

/// A time limit that a test is about, on this machine.
pub(crate) fn within(time: Duration) -> Duration {
    let factor = std::env::var("ECHOSERVER_TIMEOUT_FACTOR")
        .ok()
        .and_then(|factor| factor.parse().ok());
    time.mul_f64(factor.unwrap_or(1.0))
}

/// A server that runs; its end checks that nothing is left.
#[derive(Debug)]
pub(crate) struct Running(Server);

impl Running {
    /// On the loopback interface and a free port, unless the options say something else.
    pub(crate) fn new(config: Config) -> Self {
        Self::with(config, Arc::new(Echo))
    }

    pub(crate) fn with(config: Config, handler: Arc<dyn Handler>) -> Self {
        Self::listening(
            Config {
                host: vec!["127.0.0.1".into()],
                ..config
            },
            handler,
        )
    }

    pub(crate) fn listening(config: Config, handler: Arc<dyn Handler>) -> Self {
        let server = Server::bind(Config { port: 0, ..config }, handler).unwrap();
        server.start().unwrap();
        Self(server)
    }

    /// It listens on TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address().socket_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address())
    }

    /// Waits until the counters are as they should be.
    pub(crate) fn wait_for(&self, what: impl Fn(&Stats) -> bool) {
        eventually(|| what(&self.stats()), || format!("{:?}", self.stats()));
    }
}

impl Deref for Running {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.stop(Duration::ZERO);
        assert!(self.wait(Some(limit())), "the server does not end");
        let stats = self.stats();
        assert_eq!(stats.memory_used, 0, "{stats:?}");
        assert_eq!(stats.clients_opened, stats.clients_closed);
        assert!(self.clients().is_empty());
    }
}

/// Waits for something that announces itself nowhere.
pub(crate) fn eventually(is_so: impl Fn() -> bool, describe: impl Fn() -> String) {
    let deadline = Instant::now() + limit();
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", describe());
        std::thread::yield_now();
    }
}

/// A frame as a server sends it: whole, and not masked.
#[derive(PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(first: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first,
            payload: payload.into(),
        }
    }

    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::new(CLOSE, close_payload(code, reason))
    }

    /// Code and reason of a close frame.
    pub(crate) fn code(&self) -> (u16, &str) {
        assert_eq!(self.first, CLOSE, "{self:?}");
        let (code, reason) = self.payload.split_first_chunk().unwrap();
        (
            u16::from_be_bytes(*code),
            std::str::from_utf8(reason).unwrap(),
        )
    }
}

impl Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, len) = (self.first, self.payload.len());
        let shown = self.payload[..len.min(60)].escape_ascii();
        write!(f, "{first:#x} of {len} bytes: {shown}")
    }
}

pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A client's header for `len` bytes of payload, in its shortest form.
pub(crate) fn header(first: u8, len: u64, key: [u8; 4]) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        0..=125 => header.push(0x80 | u8::try_from(len).unwrap()),
        126..=0xffff => {
            header.push(0xfe);
            header.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            header.push(0xff);
            header.extend_from_slice(&len.to_be_bytes());
        }
    }
    header.extend_from_slice(&key);
    header
}

/// A client's frame.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = header(first, payload.len() as u64, KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// A client that checks nothing and knows no rules.
#[derive(Debug)]
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(limit())).unwrap();
        stream.set_write_timeout(Some(limit())).unwrap();
        Self(BufReader::new(stream))
    }

    /// Connected and upgraded.
    pub(crate) fn open(server: &Server) -> Self {
        let mut raw = Self::connect(server.address().socket_addr().unwrap());
        raw.send(format!("{REQUEST}\r\n"));
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// No more is sent.
    pub(crate) fn send_end(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Up to and with the empty line.
    pub(crate) fn read_head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "{head}");
        }
        head
    }

    pub(crate) fn read_frame(&mut self) -> Frame {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).unwrap();
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).unwrap();
                usize::try_from(u64::from_be_bytes(len)).unwrap()
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).unwrap();
        Frame::new(head[0], payload)
    }

    /// All that comes until the server ends TCP. A reset is no such end.
    pub(crate) fn read_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// The server ends TCP in order, before this side does.
    pub(crate) fn expect_end(mut self) {
        let rest = self.read_rest();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }

    /// There is nothing to be read any more, in whatever way it ended.
    pub(crate) fn expect_any_end(mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
    }

    /// One message there and back.
    pub(crate) fn echo(&mut self, first: u8, payload: &[u8]) {
        self.send(frame(first, payload));
        assert_eq!(self.read_frame(), Frame::new(first, payload));
    }
}

/// Runs the calling test again in a process of its own, with at most `descriptors`; returns `true` in there. `name` is the
/// test's, with its module. Where there is no such limit, on Windows, this process will do.
pub(crate) fn is_alone(name: &str, descriptors: u32) -> bool {
    const MARK: &str = "ECHOSERVER_TEST_ALONE";
    if cfg!(windows) || std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg("ulimit -n \"$2\" && exec \"$0\" --exact \"$1\" --nocapture")
        .arg(std::env::current_exe().unwrap())
        .args([name, &descriptors.to_string()])
        .env(MARK, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("1 passed"), "no test {name}: {told}");
    false
}
