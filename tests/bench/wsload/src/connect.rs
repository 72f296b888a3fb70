//! Connection churn: connect, upgrade, one message, closing handshake, and again. Who vanishes ends TCP after the message,
//! and says nothing before.

use crate::handshake::Upgrade;
use crate::hist::Hist;
use crate::messages::{CLOSE, FIN, Messages, Rng, push_client_frame};
use crate::options::Options;
use crate::procstat::Watch;
use crate::sys::{self, Epoll};
use std::io;

/// Source addresses 127.0.0.1 and up, so that closed connections do not use up one address's ports.
const SOURCES: u64 = 32;
/// Requests made beforehand.
const UPGRADES: usize = 64;
/// A server that sent its close frame but keeps the connection for so long is left.
const PATIENCE_NS: u64 = 1_000_000_000;

#[derive(PartialEq)]
enum Stage {
    Connecting,
    Handshake,
    Echo,
    Closing,
    /// The server's close frame has come; its end of the connection has not.
    Closed,
}

struct Slot {
    fd: i32,
    stage: Stage,
    upgrade: usize,
    received: Vec<u8>,
    since: u64,
    close_sent: u64,
}

struct Churn<'a> {
    o: &'a Options,
    upgrades: Vec<Upgrade>,
    messages: Messages,
    /// The echo that is expected, and the close frame that is sent.
    echo: Vec<u8>,
    close: Vec<u8>,
    buffer: Vec<u8>,
    upgrade_time: Hist,
    whole_time: Hist,
    started: u64,
    finished: u64,
    left_open: u64,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |e| format!("{what}: {e}")
}

impl<'a> Churn<'a> {
    fn new(o: &'a Options) -> Self {
        let mut rng = Rng::new(0xBEEF);
        let upgrades = (0..UPGRADES).map(|_| Upgrade::new(&mut rng, o)).collect();
        let messages = Messages::new(o);
        let echo = messages.echo(0).0.to_vec();
        let mut close = vec![];
        push_client_frame(
            FIN | CLOSE,
            [1, 2, 3, 4],
            &1000u16.to_be_bytes(),
            &mut close,
        );
        Self {
            o,
            upgrades,
            messages,
            echo,
            close,
            buffer: vec![0; 65536],
            upgrade_time: Hist::new(),
            whole_time: Hist::new(),
            started: 0,
            finished: 0,
            left_open: 0,
        }
    }

    fn open(&mut self) -> Result<Slot, String> {
        let source = 1 + (self.started % SOURCES) as u8;
        let upgrade = self.started as usize % UPGRADES;
        self.started += 1;
        let fd = sys::connect(self.o.port, source, true).map_err(failed("connect"))?;
        let (since, received) = (sys::now_ns(), vec![]);
        Ok(Slot {
            fd,
            stage: Stage::Connecting,
            upgrade,
            received,
            since,
            close_sent: 0,
        })
    }

    /// Reads all there is. True at the end of the stream.
    fn receive(&mut self, slot: &mut Slot, events: u32) -> Result<bool, String> {
        loop {
            match sys::recv(slot.fd, &mut self.buffer) {
                Ok(None) => return Ok(false),
                Ok(Some(0)) => return Ok(true),
                Ok(Some(n)) => {
                    slot.received.extend_from_slice(&self.buffer[..n]);
                    if n < self.buffer.len() && events & libc::EPOLLRDHUP as u32 == 0 {
                        return Ok(false);
                    }
                }
                Err(_) if slot.stage == Stage::Closed => return Ok(true),
                Err(e) => return Err(failed("recv")(e)),
            }
        }
    }

    /// Goes on with one connection. True when it is over.
    fn step(&mut self, slot: &mut Slot, events: u32) -> Result<bool, String> {
        if slot.stage == Stage::Connecting {
            let error = sys::so_error(slot.fd);
            if error != 0 {
                return Err(failed("connect")(io::Error::from_raw_os_error(error)));
            }
            if events & libc::EPOLLOUT as u32 == 0 {
                return Ok(false);
            }
            let request = &self.upgrades[slot.upgrade].request;
            sys::send(slot.fd, request).map_err(failed("send"))?;
            slot.stage = Stage::Handshake;
        }
        let end = self.receive(slot, events)?;
        if slot.stage == Stage::Handshake
            && let Some(n) = self.upgrades[slot.upgrade].check(&slot.received)?
        {
            slot.received.drain(..n);
            self.upgrade_time.record(sys::now_ns() - slot.since);
            sys::send(slot.fd, self.messages.frame(0)).map_err(failed("send"))?;
            slot.stage = Stage::Echo;
        }
        if slot.stage == Stage::Echo && slot.received.len() >= self.echo.len() {
            if !slot.received.starts_with(&self.echo) {
                return Err("wrong echo".into());
            }
            slot.received.drain(..self.echo.len());
            if self.o.vanish {
                return match slot.received.is_empty() {
                    true => Ok(true),
                    false => Err(format!("more than an echo: {:?}", slot.received)),
                };
            }
            sys::send(slot.fd, &self.close).map_err(failed("send"))?;
            slot.stage = Stage::Closing;
            slot.close_sent = sys::now_ns();
        }
        if slot.stage == Stage::Closing && slot.received.len() >= 4 {
            if slot.received != [FIN | CLOSE, 2, 0x03, 0xe8] {
                return Err(format!("not a close frame with 1000: {:?}", slot.received));
            }
            slot.stage = Stage::Closed;
        }
        match end {
            true if slot.stage != Stage::Closed => Err("closed early".into()),
            end => Ok(end),
        }
    }

    fn may_start(&self, now: u64, stop: u64) -> bool {
        self.o
            .count
            .map_or(now < stop, |count| self.started < count)
    }

    /// Runs until the last connection is closed; returns the time taken.
    fn drive(&mut self) -> Result<u64, String> {
        let begin = sys::now_ns();
        let stop = begin + (self.o.secs * 1e9) as u64;
        let mut epoll = Epoll::new(1024);
        let mut slots: Vec<Option<Slot>> = vec![];
        for i in 0..(self.o.conns as u64).min(self.o.count.unwrap_or(u64::MAX)) {
            let slot = self.open()?;
            epoll.add(slot.fd, i);
            slots.push(Some(slot));
        }
        let (mut last, mut last_finished) = (begin, 0);
        while self.finished < self.started {
            let n = epoll.wait(20);
            let now = sys::now_ns();
            let mut ready: Vec<(usize, u32)> = (0..n).map(|k| epoll.event(k)).collect();
            if self.finished != last_finished {
                (last, last_finished) = (now, self.finished);
            } else if now > last + (self.o.stall * 1e9) as u64 {
                return Err(format!(
                    "{} of {} connections done",
                    self.finished, self.started
                ));
            } else if n == 0 {
                ready = self.patience_ends(&slots, now);
            }
            for (i, events) in ready {
                let Some(mut slot) = slots[i].take() else {
                    continue;
                };
                let over = events == 0 || self.step(&mut slot, events)?;
                if !over {
                    slots[i] = Some(slot);
                    continue;
                }
                self.whole_time.record(sys::now_ns() - slot.since);
                sys::close(slot.fd);
                self.finished += 1;
                if self.may_start(now, stop) {
                    let slot = self.open()?;
                    epoll.add(slot.fd, i as u64);
                    slots[i] = Some(slot);
                }
            }
        }
        Ok(sys::now_ns() - begin)
    }

    /// The connections that the server should have closed long ago, marked by empty events.
    fn patience_ends(&mut self, slots: &[Option<Slot>], now: u64) -> Vec<(usize, u32)> {
        let late = |s: &Slot| s.stage == Stage::Closed && now > s.close_sent + PATIENCE_NS;
        let all = slots.iter().enumerate();
        let late: Vec<_> = all.filter(|(_, s)| s.as_ref().is_some_and(late)).collect();
        self.left_open += late.len() as u64;
        late.into_iter().map(|(i, _)| (i, 0)).collect()
    }
}

pub(crate) fn run(o: &Options) -> Result<String, String> {
    let mut churn = Churn::new(o);
    let watch = o.server_pid.map(Watch::new);
    let before = watch.as_ref().map(Watch::cpu);
    let cpu = sys::thread_cpu_ns();
    let elapsed_ns = churn.drive()?;
    let cpu = sys::thread_cpu_ns() - cpu;
    let secs = elapsed_ns as f64 / 1e9;
    let mut json = format!(
        "\"mode\":\"connect\",\"secs\":{secs:.3},\"msgs\":{},\"msgs_per_s\":{:.1},\"left_open\":{},{},{},\"gen_busy\":{:.3}",
        churn.finished,
        churn.finished as f64 / secs,
        churn.left_open,
        churn.whole_time.json(""),
        churn.upgrade_time.json("upgrade_"),
        cpu as f64 / elapsed_ns as f64
    );
    if let (Some(before), Some(watch)) = (before, watch) {
        json += &before.json_until(&watch.all(), churn.finished, elapsed_ns);
    }
    Ok(json)
}
