//! The steady echo load: a number of messages outstanding on each of many connections, for a time or for a count.

use crate::handshake::Door;
use crate::hist::Hist;
use crate::inbox::{Inbox, SIZED};
use crate::messages::Messages;
use crate::options::Options;
use crate::procstat::{Sample, Watch};
use crate::stream::Stream;
use crate::sys::{self, Epoll};

struct Conn {
    stream: Stream,
    inbox: Inbox,
    /// Messages sent whole, and how much of the next one.
    sent: u64,
    partial: usize,
    /// Messages that may be sent by now: those that came back and those that may be outstanding.
    allowed: u64,
    /// The most that will ever be allowed.
    quota: u64,
    /// When each outstanding message became allowed.
    since: Vec<u64>,
}

impl Conn {
    fn new(stream: Stream, quota: u64, o: &Options) -> Self {
        Self {
            stream,
            inbox: Inbox::new(o.verify, o.deflate.is_some()),
            sent: 0,
            partial: 0,
            allowed: quota.min(o.inflight as u64),
            quota,
            since: vec![0; o.inflight],
        }
    }

    /// Sends what is allowed, as much as the socket takes, in as few calls as possible.
    fn send(&mut self, messages: &Messages) -> Result<(), String> {
        let n = messages.len() as u64;
        self.stream.flush().map_err(|e| format!("send: {e}"))?;
        while self.sent < self.allowed {
            let first = (self.sent % n) as usize;
            let end = (first as u64 + (self.allowed - self.sent)).min(n) as usize;
            let from = messages.starts[first] + self.partial;
            let to = messages.cut(from, messages.starts[end]);
            let sent = self.stream.send(&messages.wire[from..to]);
            let Some(sent) = sent.map_err(|e| format!("send: {e}"))? else {
                return Ok(());
            };
            let reached = from + sent;
            let whole = messages.starts[first + 1..=end]
                .iter()
                .take_while(|s| **s <= reached);
            let whole = whole.count();
            self.sent += whole as u64;
            self.partial = reached - messages.starts[first + whole];
            if reached < to {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A pong must not stand inside a message, so one that is owed waits for the next gap.
    fn send_pongs(&mut self) -> Result<(), String> {
        if self.partial == 0 && !self.inbox.pongs.is_empty() {
            let sent = self.stream.send(&self.inbox.pongs);
            let sent = sent.map_err(|e| format!("send: {e}"))?;
            self.inbox.pongs.drain(..sent.unwrap_or(0));
        }
        Ok(())
    }
}

#[derive(PartialEq)]
enum Phase {
    WarmUp,
    Measured,
}

struct Load<'a> {
    o: &'a Options,
    messages: Messages,
    conns: Vec<Conn>,
    phase: Phase,
    latency: Hist,
    /// Messages that came back, in all and since the measurement began.
    total: u64,
    measured: u64,
}

impl<'a> Load<'a> {
    fn open(o: &'a Options) -> Result<Self, String> {
        let mut door = Door::new(o);
        let mut conns = Vec::with_capacity(o.conns);
        for i in 0..o.conns {
            let quota = o.count.map_or(u64::MAX, |n| {
                let share = n / o.conns as u64;
                share + u64::from((i as u64) < n % o.conns as u64)
            });
            let (stream, rest) = door.open(1)?;
            if !rest.is_empty() {
                return Err("the server spoke first".into());
            }
            sys::set_nonblock(stream.fd);
            conns.push(Conn::new(stream, quota, o));
        }
        Ok(Self {
            o,
            messages: Messages::new(o),
            conns,
            phase: Phase::WarmUp,
            latency: Hist::new(),
            total: 0,
            measured: 0,
        })
    }

    /// One read of one connection. True if there may be more.
    fn receive(&mut self, i: usize, buffer: &mut [u8]) -> Result<bool, String> {
        let conn = &mut self.conns[i];
        let n = match conn.stream.recv(buffer).map_err(|e| format!("recv: {e}"))? {
            None => return Ok(false),
            Some(0) => return Err("server closed the connection".into()),
            Some(n) => n,
        };
        let now = sys::now_ns();
        let before = conn.inbox.received;
        if self.o.tcp {
            conn.inbox.feed_tcp(&self.messages, &buffer[..n])?;
        } else {
            conn.inbox.feed(&self.messages, &buffer[..n])?;
        }
        for number in before..conn.inbox.received {
            let depth = self.o.inflight as u64;
            let since = &mut conn.since[(number % depth) as usize];
            if self.phase == Phase::Measured {
                self.latency.record(now - *since);
            }
            *since = now;
        }
        let came = conn.inbox.received - before;
        conn.allowed = (conn.allowed + came).min(conn.quota);
        self.total += came;
        if self.phase == Phase::Measured {
            self.measured += came;
        }
        conn.send_pongs()?;
        conn.send(&self.messages)?;
        Ok(n == buffer.len() || conn.stream.is_tls())
    }

    fn start(&mut self) -> Result<Epoll, String> {
        let epoll = Epoll::new(1024);
        for (i, conn) in self.conns.iter_mut().enumerate() {
            epoll.add(conn.stream.fd, i as u64);
            conn.since.fill(sys::now_ns());
            conn.send(&self.messages)?;
        }
        Ok(epoll)
    }

    /// Drives the load; returns what the server had used before, the time taken and the generator's CPU time.
    fn drive(&mut self, watch: Option<&Watch>) -> Result<(Option<Sample>, u64, u64), String> {
        let mut buffer = vec![0u8; 256 << 10];
        let mut unfinished: Vec<usize> = vec![];
        let mut before = watch.map(Watch::cpu);
        let (mut begin, mut cpu) = (sys::now_ns(), sys::thread_cpu_ns());
        let warm_end = begin + (self.o.warmup * 1e9) as u64;
        let mut epoll = self.start()?;
        if self.o.count.is_some() {
            self.phase = Phase::Measured;
        }
        let (mut last_total, mut last_progress) = (0, begin);
        loop {
            let poll = self.o.spin || !unfinished.is_empty();
            let n = epoll.wait(if poll { 0 } else { 20 });
            let now = sys::now_ns();
            // A measurement begins and ends with a message, so that those of 64 MiB are counted fairly.
            if self.total != last_total {
                (last_total, last_progress) = (self.total, now);
                let over = match self.o.count {
                    Some(count) => self.total == count,
                    None => now >= begin + (self.o.secs * 1e9) as u64,
                };
                if over && self.phase == Phase::Measured {
                    return Ok((before, sys::now_ns() - begin, sys::thread_cpu_ns() - cpu));
                }
                if self.phase == Phase::WarmUp && now >= warm_end {
                    before = watch.map(Watch::cpu);
                    (begin, cpu) = (sys::now_ns(), sys::thread_cpu_ns());
                    self.phase = Phase::Measured;
                }
            } else if now > last_progress + (self.o.stall * 1e9) as u64 {
                return Err(format!("nothing came back for {} s", self.o.stall));
            }
            for i in std::mem::take(&mut unfinished) {
                if self.receive(i, &mut buffer)? {
                    unfinished.push(i);
                }
            }
            for k in 0..n {
                let (i, events) = epoll.event(k);
                if events & libc::EPOLLOUT as u32 != 0 {
                    self.conns[i].send(&self.messages)?;
                }
                if events & !(libc::EPOLLOUT as u32) != 0
                    && self.receive(i, &mut buffer)?
                    && !unfinished.contains(&i)
                {
                    unfinished.push(i);
                }
            }
        }
    }
}

/// Says `word` and waits for a line: whoever holds the other end does something meanwhile.
fn hold(word: &str) -> Result<(), String> {
    println!("{word}");
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) => Err("standard input ended".into()),
        Ok(_) => Ok(()),
        Err(e) => Err(format!("standard input: {e}")),
    }
}

pub(crate) fn run(o: &Options) -> Result<String, String> {
    let mut load = Load::open(o)?;
    let watch = o.server_pid.map(Watch::new);
    if o.hold {
        hold("connected")?;
    }
    let (before, elapsed_ns, cpu_ns) = load.drive(watch.as_ref())?;
    let after = watch.as_ref().map(Watch::all);
    if o.hold {
        hold("done")?;
    }
    let secs = elapsed_ns as f64 / 1e9;
    let rate = load.measured as f64 / secs;
    let mut json = format!(
        "\"mode\":\"echo\",\"secs\":{secs:.3},\"msgs\":{},\"msgs_per_s\":{rate:.1},{},\"gen_busy\":{:.3}",
        load.measured,
        load.latency.json(""),
        cpu_ns as f64 / elapsed_ns as f64
    );
    if let (Some(before), Some(after)) = (before, after) {
        json += &before.json_until(&after, load.measured, elapsed_ns);
    }
    if o.deflate.is_some() {
        let inboxes = || load.conns.iter().map(|conn| &conn.inbox);
        let bytes: u64 = inboxes().map(|inbox| inbox.sized_bytes).sum();
        let messages: u64 = inboxes().map(|inbox| inbox.received.min(SIZED)).sum();
        let mean = bytes as f64 / messages as f64;
        json += &format!(",\"reply_bytes_per_msg\":{mean:.1}");
    }
    if let Some(cipher) = load.conns[0].stream.cipher() {
        json += &format!(",\"cipher\":\"{cipher}\"");
    }
    Ok(json)
}
