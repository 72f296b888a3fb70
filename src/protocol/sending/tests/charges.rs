//! Every charge that fails, and every way in which charges are given back.

use super::{Effects, Rig, settings};
use crate::protocol::close;
use crate::protocol::extensions::{Agreed, Deflate, Negotiation};
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::window::Window;

/// Everything that keeps something, until the connection ends for it.
fn converse(rig: &mut Rig) {
    for round in 0..6_u8 {
        rig.room = if round % 2 == 0 { 5 } else { 100_000 };
        rig.send(&[round; 300], 1);
        if rig.sender.may_send() {
            rig.expect();
        }
        if !rig.sender.may_send() {
            // Nobody asks for more.
            continue;
        }
        rig.echo(&[round; 100]);
        rig.echo(b"");
        let mut bytes = [0; 40];
        let mut window = Window::new(&mut bytes);
        let ping = crate::protocol::frame::Opcode::Pong;
        rig.sender
            .send_control(ping, &[round; 100], &mut window, &mut rig.account);
        rig.flush();
        if rig.sender.mark() != 0 && rig.sender.may_send() {
            let mut message = Partial::NEW;
            // Beyond the limit there is no such message.
            if message.push(&[round; 2000], 2000, &mut rig.account).is_ok() {
                let (account, effects) = (&mut rig.account, &mut rig.effects);
                let budget = &mut usize::MAX.clone();
                rig.sender.reply_compressed(
                    Kind::Text,
                    message,
                    &mut window,
                    budget,
                    account,
                    effects,
                );
            } else {
                message.release(&mut rig.account);
            }
        }
        rig.answer(&[round; 200]);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.work(&mut usize::MAX.clone(), account, effects);
        rig.flush();
    }
}

pub(super) fn agreed() -> Agreed {
    let mut negotiation = Negotiation::default();
    negotiation.add(b"permessage-deflate", Some(&Deflate::default()));
    negotiation.verdict().unwrap().unwrap()
}

#[test]
fn a_charge_that_fails_ends_the_connection_and_all_are_given_back() {
    for (compressed, most) in [(false, 6_000), (true, 420_000)] {
        let mut exhausted = 0;
        let step = most / 300;
        for limit in (0..most).step_by(step) {
            let mut rig = Rig::new(settings(), limit);
            if compressed {
                rig.sender.agree(agreed(), 6, 50);
            }
            converse(&mut rig);
            let may_send = rig.sender.may_send();
            rig.room = usize::MAX;
            rig.flush();
            let frames = rig.frames();
            let close = frames.iter().position(|(first, _)| *first == 0x88);
            assert_eq!(close, (!may_send).then(|| frames.len() - 1), "{limit}");
            if !may_send {
                exhausted += 1;
                let payload = &frames[frames.len() - 1].1;
                let (code, reason) = close::parse(payload).unwrap().unwrap();
                assert_eq!(code, close::TRY_AGAIN);
                assert!(reason.contains(&format!("memory_limit of {limit} bytes")));
                // All but the context of the compressor.
                rig.sender
                    .release(&mut rig.account, &mut Effects::default());
                assert_eq!(rig.memory.used(), 0);
            }
            rig.end();
        }
        assert!(exhausted > 20 && exhausted < 290, "{exhausted}");
    }
}

#[test]
fn what_has_to_wait_is_charged_also_if_some_of_it_was_taken() {
    for room in [0, 1, 5_000] {
        let mut rig = Rig::new(settings(), 10_000);
        rig.room = room;
        rig.send(&vec![b'a'; 20_000], 7);
        assert!(!rig.sender.may_send(), "{room} bytes were taken");
        rig.room = usize::MAX;
        rig.flush();
        let frames = rig.frames();
        assert_eq!((frames.len(), frames[1].0), (2, 0x88));
        rig.end();
    }
}

#[test]
fn what_is_held_is_given_back_on_every_way_out() {
    type Way = fn(&mut Rig);
    let ways: [Way; 5] = [
        |rig| {
            rig.answer(b"a");
            rig.answer(b"b");
        },
        |rig| {
            rig.sender
                .close(1000, "", &mut rig.account, &mut rig.effects);
        },
        |rig| {
            rig.sender.closed(b"");
            rig.sender.hurry(&mut rig.account, &mut rig.effects);
        },
        |rig| {
            let (account, effects) = (&mut rig.account, &mut rig.effects);
            rig.sender.close_later(1001, "", account, effects);
            rig.sender.hurry(account, effects);
        },
        |rig| rig.sender.release(&mut rig.account, &mut rig.effects),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut rig = Rig::new(settings(), 1 << 20);
        for _ in 0..2 {
            rig.expect();
            for len in [0, 10, 1000] {
                rig.echo(&vec![0; len]);
            }
        }
        // What is allocated is charged, and not much more.
        let used = rig.memory.used();
        assert!(used > 2 * 1016 && used < 2 * (2 * 1016 + 200), "{used}");
        way(&mut rig);
        rig.flush();
        assert_eq!(rig.memory.used(), 0, "{number}");
        rig.end();
    }
}
