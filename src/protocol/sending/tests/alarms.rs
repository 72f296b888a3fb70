//! Every alarm in every closing state, with output that waits or not, and answers that are awaited or not.

use super::{Rig, SECOND, Settings, Timeout, settings};
use crate::protocol::close;
use crate::protocol::violation::Violation;
use std::time::Duration;

/// How far the closing handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The client's close frame has come; ours waits, if an answer is awaited.
    Theirs,
    Violation,
    Later,
    /// Ours is out.
    Ours,
    Both,
}

const STATES: [State; 6] = [
    State::Open,
    State::Theirs,
    State::Violation,
    State::Later,
    State::Ours,
    State::Both,
];

/// What becomes of a client that does nothing more.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It stays.
    Stays,
    /// It is told this, if it reads, and dropped.
    Closed(u16),
}

/// What a client has to bear.
#[derive(Debug, Clone, Copy)]
struct Case {
    state: State,
    idle_timeout: Option<Duration>,
    ping_interval: Option<Duration>,
    is_blocked: bool,
    is_awaited: bool,
}

fn options(idle_timeout: Option<Duration>, ping_interval: Option<Duration>) -> Settings {
    Settings {
        idle_timeout: idle_timeout.map(|value| Timeout {
            name: "idle_timeout",
            value,
        }),
        ping_interval,
        ..settings()
    }
}

impl Case {
    fn fate(self) -> Fate {
        let is_awaited = self.is_awaited;
        match self.state {
            // What is due waits for the answer, however long that takes.
            State::Theirs | State::Violation | State::Later if is_awaited => Fate::Stays,
            State::Theirs => Fate::Closed(close::NORMAL),
            State::Violation => Fate::Closed(close::PROTOCOL_ERROR),
            State::Later => Fate::Closed(close::GOING_AWAY),
            State::Ours | State::Both => Fate::Closed(4000),
            // Either after thirty seconds. Who waits for an answer is not idle, but has to answer a ping.
            State::Open if self.idle_timeout.is_some() && !is_awaited => {
                Fate::Closed(close::GOING_AWAY)
            }
            State::Open if self.ping_interval.is_some() => Fate::Closed(close::INTERNAL_ERROR),
            State::Open => Fate::Stays,
        }
    }

    fn run(self) {
        let Self {
            state,
            is_blocked,
            is_awaited,
            ..
        } = self;
        let settings = options(self.idle_timeout, self.ping_interval);
        let mut rig = Rig::new(settings, 1 << 20);
        rig.wait(Duration::ZERO);
        if is_blocked {
            rig.room = 1;
            rig.echo(b"blocked");
        }
        if is_awaited {
            rig.expect();
        }
        match state {
            State::Open => {}
            State::Theirs => rig.sender.closed(&close::payload(close::NORMAL, "")),
            State::Violation => {
                let violation = Violation::protocol("a rule");
                rig.sender.fail(&violation, &mut rig.effects);
            }
            State::Later => {
                let (account, effects) = (&mut rig.account, &mut rig.effects);
                rig.sender
                    .close_later(close::GOING_AWAY, "", account, effects);
            }
            State::Ours | State::Both => {
                let (account, effects) = (&mut rig.account, &mut rig.effects);
                rig.sender.close(4000, "", account, effects);
            }
        }
        if state == State::Both {
            rig.sender.closed(&close::payload(4000, ""));
        }
        rig.flush();
        let mut has_ended = false;
        for _ in 0..600 {
            has_ended = !rig.wait(SECOND);
            if has_ended {
                break;
            }
        }
        let expected = self.fate();
        assert_eq!(has_ended, expected != Fate::Stays);
        assert_eq!(rig.sender.may_send(), expected == Fate::Stays);
        if !is_blocked {
            let closes: Vec<_> = rig
                .frames()
                .into_iter()
                .filter(|(first, _)| *first == 0x88)
                .collect();
            match expected {
                Fate::Stays => assert!(closes.is_empty()),
                Fate::Closed(code) => {
                    assert_eq!(closes.len(), 1);
                    assert_eq!(closes[0].1[..2], code.to_be_bytes());
                }
            }
        }
        // What waited for an answer goes out with it.
        if expected == Fate::Stays && state != State::Open {
            assert_eq!(rig.sender.deadline(), None);
            rig.room = usize::MAX;
            rig.answer(b"at last");
            assert!(!rig.sender.may_send());
            let frames = rig.frames();
            assert_eq!(frames[frames.len() - 2].1, b"at last");
            assert_eq!(frames[frames.len() - 1].0, 0x88);
            assert!(rig.wait(Duration::ZERO) && rig.wait(4 * SECOND) && !rig.wait(SECOND));
        }
        rig.end();
    }
}

#[test]
fn every_alarm_in_every_closing_state() {
    for number in 0..16 * STATES.len() {
        let is = |bit: usize| number >> bit & 1 != 0;
        let case = Case {
            state: STATES[number / 16],
            idle_timeout: is(0).then_some(30 * SECOND),
            ping_interval: is(1).then_some(20 * SECOND),
            is_blocked: is(2),
            is_awaited: is(3),
        };
        let ran = std::panic::catch_unwind(|| case.run());
        assert!(ran.is_ok(), "{case:?}");
    }
}

#[test]
fn signs_of_life_put_off_what_ends_a_silent_client() {
    let mut rig = Rig::new(options(Some(30 * SECOND), Some(20 * SECOND)), 1 << 30);
    rig.wait(Duration::ZERO);
    // Input, though it is no pong.
    for _ in 0..20 {
        rig.sender.heard();
        assert!(rig.wait(9 * SECOND) && rig.sender.may_send());
    }
    // Output, though the ping waits behind it.
    rig.room = 10;
    rig.echo(&[0; 125]);
    for _ in 0..20 {
        rig.room = 1;
        rig.flush();
        assert!(rig.wait(9 * SECOND) && rig.sender.may_send());
    }
    // Neither.
    rig.wait(10 * SECOND);
    assert!(!rig.sender.may_send());
    rig.end();
}

#[test]
fn output_that_is_taken_at_once_is_no_sign_of_life() {
    let mut rig = Rig::new(options(Some(30 * SECOND), None), 1 << 20);
    rig.wait(Duration::ZERO);
    for _ in 0..4 {
        rig.send(b"anybody there?", 1);
        rig.wait(9 * SECOND);
    }
    assert!(!rig.sender.may_send());
    rig.end();
}

#[test]
fn a_closing_handshake_goes_on_while_much_is_taken() {
    let cases = [
        // Bytes that wait, bytes taken in each second, seconds until the end.
        (1_000_000, 0, 5),
        (1_000_000, 10_000, 5),
        (1_000_000, 20_000, 60),
        (200_000, 20_000, 20),
        (50_000, 20_000, 10),
        // All that is left, and nothing more after it.
        (10_000, 5_000, 10),
    ];
    for (waiting, taken, seconds) in cases {
        let mut rig = Rig::new(settings(), 1 << 30);
        rig.room = 0;
        rig.send(&vec![0; waiting], 1);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.close(4000, "", account, effects);
        rig.flush();
        rig.wait(Duration::ZERO);
        rig.flush();
        let mut lasted = 0;
        loop {
            rig.room = taken;
            rig.flush();
            lasted += 1;
            if !rig.wait(SECOND) {
                break;
            }
            assert!(lasted < 100);
        }
        assert_eq!(lasted, seconds, "{waiting} {taken}");
        rig.end();
    }
}

#[test]
fn pongs_tell_the_round_trip_and_answer_the_pings_before() {
    let mut rig = Rig::new(options(None, Some(20 * SECOND)), 1 << 20);
    rig.wait(Duration::ZERO);
    for payload in [b"a", b"b", b"c"] {
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.ping(payload, 1, account, effects);
        rig.flush();
        rig.wait(Duration::ZERO);
        rig.wait(SECOND);
    }
    assert_eq!(rig.effects.rtt, None);
    rig.sender.ponged(b"b");
    rig.wait(Duration::ZERO);
    assert_eq!(rig.effects.rtt.take(), Some(2 * SECOND));
    rig.sender.ponged(b"a");
    rig.wait(Duration::ZERO);
    assert_eq!(rig.effects.rtt.take(), None);
    rig.sender.ponged(b"c");
    rig.wait(Duration::ZERO);
    assert_eq!(rig.effects.rtt.take(), Some(SECOND));
    // More than are remembered do not hide the pong to the keepalive ping.
    rig.wait(17 * SECOND);
    let (_, keepalive) = rig.frames().pop().unwrap();
    for number in 0..40 {
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.ping(&[number], 1, account, effects);
    }
    rig.sender.ponged(&keepalive);
    rig.wait(11 * SECOND);
    assert!(rig.sender.may_send());
    assert_eq!(rig.effects.released, 3);
    rig.flush();
    assert_eq!(rig.effects.released, 43);
    rig.end();
}

#[test]
fn the_time_for_which_a_client_is_paused_is_not_its_silence() {
    for (idle_timeout, ping_interval, limit) in [
        (Some(30 * SECOND), None, 30 * SECOND),
        (None, Some(20 * SECOND), settings().ping_timeout.value),
    ] {
        for seconds in 1..100 {
            let mut rig = Rig::new(options(idle_timeout, ping_interval), 1 << 20);
            rig.wait(Duration::ZERO);
            // A ping is out, if there are any.
            rig.wait(21 * SECOND);
            rig.sender.pause(true);
            rig.wait(seconds * SECOND);
            rig.sender.pause(false);
            rig.wait(Duration::ZERO);
            rig.wait(SECOND / 2);
            // Once more is nothing new.
            rig.sender.pause(false);
            rig.wait(limit.saturating_sub(SECOND));
            assert!(rig.sender.may_send(), "after {seconds} s");
            rig.wait(SECOND);
            assert!(!rig.sender.may_send(), "after {seconds} s");
            rig.end();
        }
    }
}

#[test]
fn who_waits_until_we_have_compressed_is_not_idle() {
    for (idle_timeout, ping_interval) in [(Some(30 * SECOND), None), (None, Some(20 * SECOND))] {
        let mut rig = Rig::new(options(idle_timeout, ping_interval), 1 << 30);
        rig.sender.agree(super::charges::agreed(), 6, 50);
        rig.wait(Duration::ZERO);
        rig.send(&vec![b'a'; 100_000], 1);
        for _ in 0..20 {
            assert!(rig.wait(9 * SECOND) && rig.sender.may_send());
        }
        rig.compress();
        // From here on it may be.
        rig.wait(9 * SECOND);
        assert!(rig.sender.may_send());
        for _ in 0..20 {
            rig.wait(9 * SECOND);
        }
        assert!(!rig.sender.may_send());
        rig.end();
    }
}
