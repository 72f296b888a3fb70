//! A doorkeeper decides: what becomes of messages, frames and the stream, in every order, with and without compression.

use super::super::{Cut, Doorkeeper, Passing};
use super::{Kind, Opcode, Partial, Rig, Window, charges, settings, split_server_frame};
use crate::protocol::frame::server_frame;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What becomes of messages.
pub(super) type Judgement = fn(&mut Passing<'_>);

/// Decides as a test wants, and notes what it was asked about.
#[derive(Debug)]
pub(super) struct Keeper {
    judge: Judgement,
    size: usize,
    /// Frames that go out before the stream is cut.
    left: Cell<usize>,
    cut: Option<Cut>,
    asked: RefCell<Vec<Vec<u8>>>,
}

impl Keeper {
    pub(super) fn new(judge: Judgement, size: usize) -> Rc<Self> {
        Self::cutting(judge, size, usize::MAX, None)
    }

    pub(super) fn cutting(
        judge: Judgement,
        size: usize,
        left: usize,
        cut: Option<Cut>,
    ) -> Rc<Self> {
        Rc::new(Self {
            judge,
            size,
            left: Cell::new(left),
            cut,
            asked: RefCell::default(),
        })
    }
}

impl Doorkeeper for Keeper {
    fn message(&self, passing: &mut Passing<'_>) {
        self.asked.borrow_mut().push(passing.payload());
        (self.judge)(passing);
    }

    fn fragment(&self, _len: usize) -> usize {
        self.size
    }

    fn frame(&self) -> Option<Cut> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        self.cut.filter(|_| left == 0)
    }
}

pub(super) fn pass(_: &mut Passing<'_>) {}

pub(super) fn rig(keeper: &Rc<Keeper>, has_compression: bool) -> Rig {
    let mut rig = Rig::new(settings(), 1 << 20);
    if has_compression {
        rig.sender.agree(charges::agreed(), 6, 50);
    }
    rig.sender.attach(Some(keeper.clone()));
    rig
}

/// The echo of a message that came in a window, with a pong behind it.
fn echo(rig: &mut Rig, payload: &[u8]) {
    let mut bytes = [&[0; 6], payload, &[0; 6]].concat();
    let len = bytes.len();
    let mut window = Window::new(&mut bytes);
    window.read = len;
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.reply_judged(
        Kind::Binary,
        Partial::NEW,
        6..len - 6,
        true,
        &mut window,
        &mut usize::MAX.clone(),
        account,
        effects,
    );
    rig.sender
        .send_control(Opcode::Pong, b"", &mut window, &mut rig.account);
    let tail = window.tail().to_vec();
    rig.flush_with(&tail);
}

#[test]
fn every_message_is_asked_about_in_the_order_in_which_it_goes_out() {
    let keeper = Keeper::new(pass, usize::MAX);
    for has_compression in [false, true] {
        keeper.asked.borrow_mut().clear();
        let mut rig = rig(&keeper, has_compression);
        echo(&mut rig, b"1");
        rig.expect();
        echo(&mut rig, b"4");
        rig.send(b"2", 7);
        rig.answer(b"3");
        rig.compress();
        let asked = keeper.asked.borrow().concat();
        assert_eq!(asked, b"1234");
        let payloads: Vec<Vec<u8>> = rig.frames().into_iter().map(|frame| frame.1).collect();
        // The pong of the second echo waits for nothing.
        assert_eq!(payloads.concat(), b"1234");
        assert_eq!((rig.effects.sent.messages(), rig.effects.released), (4, 7));
        rig.end();
    }
}

#[test]
fn messages_vanish_come_twice_or_are_others() {
    let judge = |passing: &mut Passing<'_>| match &passing.payload()[..] {
        b"drop" => passing.times = 0,
        b"double" => passing.times = 3,
        b"replace" => {
            passing.instead = Some((Kind::Binary, b"other".to_vec()));
            passing.before = b"\xf1\x00".to_vec();
        }
        _ => {}
    };
    for has_compression in [false, true] {
        let mut rig = rig(&Keeper::new(judge, usize::MAX), has_compression);
        for text in ["a", "drop", "double", "replace", "b"] {
            rig.send(text.as_bytes(), 10);
        }
        rig.compress();
        let frames = rig.frames();
        let expected: [(u8, &[u8]); 7] = [
            (0x81, b"a"),
            (0x81, b"double"),
            (0x81, b"double"),
            (0x81, b"double"),
            (0xf1, b""),
            (0x82, b"other"),
            (0x81, b"b"),
        ];
        assert_eq!(frames, expected.map(|(first, one)| (first, one.to_vec())));
        assert_eq!((rig.effects.sent.messages(), rig.effects.released), (6, 50));
        rig.end();
    }
}

#[test]
fn what_is_sent_again_is_compressed_again_and_charged_once() {
    let mut rig = rig(&Keeper::new(|passing| passing.times = 11, usize::MAX), true);
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    rig.send(&(0..10_000).map(|_| noise()).collect::<Vec<u8>>(), 1);
    rig.compress();
    let frames = rig.frames();
    assert_eq!(frames.len(), 11);
    // With the context of the first they are shorter, and none is like the others.
    assert!(frames.iter().all(|(first, _)| *first == 0xc1));
    assert!(frames[0].1.len() > frames[1].1.len());
    rig.end();

    let keeper = Keeper::new(|passing| passing.times = 11, usize::MAX);
    let mut rig = self::rig(&keeper, false);
    rig.room = 1000;
    rig.send(&vec![b'x'; 50_000], 1);
    for _ in 0..20 {
        // As much as a turn has room for; the next begins when that is sent.
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.work(&mut 1, account, effects);
        assert!(rig.memory.used() < 103_000, "{}", rig.memory.used());
        rig.room = usize::MAX;
        rig.flush();
    }
    assert_eq!((rig.frames().len(), rig.effects.released), (11, 1));
    rig.end();
}

#[test]
fn a_message_goes_out_in_frames_of_that_size_and_nothing_comes_between() {
    for (size, len) in [
        (1, 3),
        (4, 10),
        (5, 10),
        (10, 10),
        (11, 10),
        (7, 0),
        (1000, 70_000),
    ] {
        let keeper = Keeper::new(pass, size);
        let mut rig = rig(&keeper, false);
        let payload: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        rig.send(&payload, 3);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.ping(b"after", 4, account, effects);
        rig.compress();
        let mut frames = rig.frames();
        assert_eq!(frames.pop().unwrap(), (0x89, b"after".to_vec()), "{size}");
        assert_eq!(frames.len(), payload.len().div_ceil(size).max(1));
        let last = frames.len() - 1;
        for (index, (first, part)) in frames.iter().enumerate() {
            let opcode = u8::from(index == 0);
            let fin = u8::from(index == last) << 7;
            assert_eq!(*first, fin | opcode);
            assert!(part.len() == size || index == last);
        }
        let parts: Vec<Vec<u8>> = frames.into_iter().map(|frame| frame.1).collect();
        assert_eq!(parts.concat(), payload);
        assert_eq!(rig.effects.released, 7);
        rig.end();
    }
}

#[test]
fn fragments_of_a_compressed_message_say_so_once() {
    let mut rig = rig(&Keeper::new(pass, 5), true);
    rig.send(&[b'x'; 200], 1);
    rig.compress();
    let frames = rig.frames();
    let firsts: Vec<u8> = frames.iter().map(|frame| frame.0).collect();
    assert_eq!(firsts[0], 0x41);
    assert!(firsts.len() > 1 && firsts.ends_with(&[0x80]), "{firsts:x?}");
    assert!(firsts[1..firsts.len() - 1].iter().all(|first| *first == 0));
    rig.end();
}

#[test]
fn a_long_message_in_short_frames_is_made_as_it_is_sent() {
    let mut rig = rig(&Keeper::new(pass, 1), false);
    rig.room = 0;
    rig.send(&vec![b'x'; 200_000], 1);
    let mut wire = 0;
    while rig.sender.has_waiting() || !rig.sender.is_flushed() {
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.work(&mut 10_000, account, effects);
        assert!(rig.memory.used() < 350_000, "{}", rig.memory.used());
        rig.room = usize::MAX;
        rig.flush();
        wire += std::mem::take(&mut rig.wire).len();
    }
    assert_eq!(wire, 600_000);
    rig.end();
}

#[test]
fn without_a_doorkeeper_all_goes_on_as_before() {
    let keeper = Keeper::new(pass, 2);
    let mut rig = rig(&keeper, false);
    rig.room = 0;
    rig.send(b"1234", 1);
    // What waits has been decided about; it goes out whole if nobody cuts it.
    rig.sender.attach(None);
    assert!(rig.sender.has_waiting());
    rig.send(b"56", 1);
    rig.room = usize::MAX;
    rig.compress();
    assert!(!rig.sender.has_waiting());
    rig.send(b"78", 1);
    let sent: Vec<u8> = rig.frames().into_iter().flat_map(|frame| frame.1).collect();
    assert_eq!(sent, b"12345678");
    assert_eq!(keeper.asked.borrow().len(), 1);
    // The way of the others is free again.
    rig.echo(b"9");
    assert_eq!(rig.frames().len(), 1);
    rig.end();
}

#[test]
fn whatever_fails_for_want_of_memory_every_charge_is_given_back() {
    let judge = |passing: &mut Passing<'_>| {
        passing.before = vec![0x89, 0];
        passing.times = 3;
        passing.instead = Some((passing.kind(), passing.payload().repeat(2)));
    };
    for limit in (0..6000).step_by(97) {
        for has_compression in [false, true] {
            let keeper = Keeper::new(judge, 100);
            let mut rig = Rig::new(settings(), limit);
            if has_compression {
                rig.sender.agree(charges::agreed(), 6, 50);
            }
            rig.sender.attach(Some(keeper));
            for round in 0..4_u8 {
                rig.room = if round % 2 == 0 { 50 } else { 100_000 };
                rig.send(&[round; 500], 1);
                if rig.sender.may_send() {
                    echo(&mut rig, &[round; 200]);
                }
                for _ in 0..30 {
                    let (account, effects) = (&mut rig.account, &mut rig.effects);
                    rig.sender.work(&mut 1, account, effects);
                    rig.flush();
                }
            }
            // Half a frame may be left.
            while let Some((_, _, rest)) = split_server_frame(&rig.wire) {
                rig.wire = rest.to_vec();
            }
            let (account, effects) = (&mut rig.account, &mut rig.effects);
            rig.sender.release(account, effects);
            assert_eq!(rig.effects.released, 4, "{limit}");
            assert_eq!(rig.memory.used(), 0, "{limit}");
        }
    }
}

#[test]
fn what_is_made_in_one_turn_is_bounded_whatever_it_is_made_of() {
    const BUDGET: usize = 64 << 10;
    let large =
        |passing: &mut Passing<'_>| passing.instead = Some((Kind::Text, vec![b'x'; 50_000]));
    let before = |passing: &mut Passing<'_>| {
        passing.before = server_frame(Opcode::Binary, &vec![0; 50_000]);
        passing.times = 0;
    };
    let many = |passing: &mut Passing<'_>| {
        passing.instead = Some((Kind::Text, Vec::new()));
        passing.times = 100_000;
    };
    let cases: [(Judgement, usize); 4] = [(pass, 1), (many, 9), (large, 60_000), (before, 9)];
    for (judge, size) in cases {
        let mut rig = rig(&Keeper::new(judge, size), false);
        for _ in 0..20 {
            rig.send(&[0; 10_000], 1);
        }
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.work(&mut BUDGET.clone(), account, effects);
        assert!(rig.sender.has_waiting());
        rig.flush();
        let bytes = rig.wire.len();
        assert!(bytes > 0 && bytes < 8 * BUDGET, "{bytes}");
        let frames = rig.frames().len();
        assert!(frames <= BUDGET / 64, "{frames}");
        rig.end();
    }
}

#[test]
fn what_is_cut_off_of_a_message_costs_nothing() {
    let judge: Judgement = |passing| {
        let mut payload = passing.payload();
        payload.truncate(1);
        passing.instead = Some((passing.kind(), payload));
    };
    let mut rig = rig(&Keeper::new(judge, usize::MAX), false);
    rig.room = 0;
    rig.send(&vec![b'a'; 100_000], 1);
    assert!(rig.memory.used() < 1000, "{}", rig.memory.used());
    rig.room = usize::MAX;
    rig.compress();
    assert_eq!(rig.frames(), [(0x81, b"a".to_vec())]);
    rig.end();
}

#[test]
fn a_message_that_waits_goes_out_as_often_as_was_decided() {
    let judge: Judgement = |passing| passing.times = 3;
    for has_compression in [false, true] {
        let mut rig = rig(&Keeper::new(judge, usize::MAX), has_compression);
        rig.send(&[b'a'; 100], 1);
        rig.sender.attach(None);
        rig.compress();
        assert_eq!(rig.frames().len(), 3);
        assert_eq!((rig.effects.sent.messages(), rig.effects.released), (3, 1));
        rig.end();
    }
}
