//! A doorkeeper ends the stream, or keeps it from its end.

use super::super::{Cut, Passing};
use super::door::{Judgement, Keeper, pass, rig};
use super::{Duration, Opcode, Rig, SECOND, settings};
use crate::protocol::frame::server_frame;

#[test]
fn a_close_comes_instead_and_nothing_after_it() {
    let judge = |passing: &mut Passing<'_>| {
        if passing.payload() == b"close" {
            passing.close = Some((4000, "enough".to_owned()));
        }
    };
    for has_compression in [false, true] {
        let mut rig = rig(&Keeper::new(judge, 3), has_compression);
        rig.expect();
        rig.expect();
        let wire = [
            server_frame(Opcode::Text, b"answer"),
            server_frame(Opcode::Text, b"close"),
        ];
        let ends = [wire[0].len(), wire[0].len() + wire[1].len()];
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.answer(wire.concat(), &ends, 2, account, effects);
        assert!(effects.is_closing && !rig.sender.may_send() && !rig.sender.takes_input());
        rig.send(b"late", 5);
        rig.sender
            .raw(b"late".to_vec(), 6, &mut rig.account, &mut rig.effects);
        rig.compress();
        let expected: [(u8, &[u8]); 3] =
            [(0x01, b"ans"), (0x80, b"wer"), (0x88, b"\x0f\xa0enough")];
        assert_eq!(
            rig.frames(),
            expected.map(|(first, one)| (first, one.to_vec()))
        );
        assert_eq!((rig.effects.sent.messages(), rig.effects.released), (1, 11));
        // The client answers.
        rig.sender.closed(b"\x0f\xa0");
        assert!(rig.sender.is_done());
        assert_eq!(rig.end(), (4000, "enough".to_owned()));
    }
}

#[test]
fn a_close_that_answers_the_clients_ends_it() {
    let judge: Judgement = |passing| passing.close = Some((1011, String::new()));
    let mut rig = rig(&Keeper::new(judge, usize::MAX), false);
    rig.expect();
    rig.sender.closed(b"\x03\xe8bye");
    rig.answer(b"x");
    rig.compress();
    assert_eq!(rig.frames(), [(0x88, b"\x03\xf3".to_vec())]);
    assert!(rig.sender.is_done());
    assert_eq!(rig.end(), (1000, "bye".to_owned()));
}

#[test]
fn a_cut_comes_behind_the_frames_before_it_and_gives_the_rest_up() {
    for cut in [Cut::Reset, Cut::HalfClose] {
        let keeper = Keeper::cutting(pass, 4, 2, Some(cut));
        let mut rig = rig(&keeper, false);
        rig.room = 3;
        rig.expect();
        rig.send(b"0123456789", 5);
        rig.send(b"next", 6);
        assert_eq!(rig.sender.cutting(), None);
        rig.compress();
        assert_eq!(rig.sender.cutting(), Some(cut));
        assert!(!rig.sender.is_flushed() && !rig.sender.may_read() && !rig.sender.may_send());
        rig.send(b"late", 7);
        rig.answer(b"late");
        assert!(rig.effects.is_closing);
        rig.room = usize::MAX;
        rig.flush();
        let expected: [(u8, &[u8]); 2] = [(0x01, b"0123"), (0x00, b"4567")];
        assert_eq!(
            rig.frames(),
            expected.map(|(first, one)| (first, one.to_vec()))
        );
        assert_eq!(rig.effects.released, 18);
        // Who does not take what is sent is not waited for.
        assert!(rig.wait(Duration::ZERO) && rig.wait(4 * SECOND) && !rig.wait(2 * SECOND));
        assert_eq!(rig.end(), (1006, String::new()));
    }
}

#[test]
fn behind_a_half_close_nobody_is_waited_for() {
    let mut rig = Rig::new(settings(), 1 << 20);
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.cut(Cut::HalfClose, account, effects);
    assert!(!rig.sender.is_settled());
    rig.flush();
    rig.sender.halved();
    assert!(rig.sender.is_halved() && !rig.sender.may_read() && rig.sender.is_settled());
    assert!(rig.wait(1000 * SECOND) && !rig.sender.is_done());
    assert!(rig.frames().is_empty());
    assert_eq!(rig.end(), (1006, String::new()));
}

#[test]
fn a_close_frame_stays_unanswered_until_it_is_answered_after_all() {
    for is_answered in [false, true] {
        let mut rig = Rig::new(settings(), 1 << 20);
        rig.sender.closed_unanswered(b"\x03\xe9bye");
        assert!(rig.sender.is_unanswered() && rig.sender.may_send() && !rig.sender.may_read());
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.close(4000, "", account, effects);
        rig.send(b"still", 1);
        assert!(rig.wait(1000 * SECOND));
        assert_eq!(rig.frames(), [(0x81, b"still".to_vec())]);
        if is_answered {
            let (account, effects) = (&mut rig.account, &mut rig.effects);
            rig.sender.answer_close(account, effects);
            rig.flush();
            assert_eq!(rig.frames(), [(0x88, b"\x03\xe9bye".to_vec())]);
            assert!(rig.sender.is_done());
        }
        assert_eq!(rig.end(), (1001, "bye".to_owned()));
    }
}

#[test]
fn who_closes_has_what_was_sent_before_judged_and_who_is_in_a_hurry_not() {
    for is_hurried in [false, true] {
        let mut rig = rig(&Keeper::new(pass, 2), false);
        rig.room = 0;
        rig.send(b"1234", 1);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.close(1000, "", account, effects);
        if is_hurried {
            rig.sender.hurry(account, effects);
        }
        rig.room = usize::MAX;
        rig.flush();
        rig.compress();
        let firsts: Vec<u8> = rig.frames().iter().map(|frame| frame.0).collect();
        let expected = if is_hurried {
            vec![0x81, 0x88]
        } else {
            vec![0x01, 0x80, 0x88]
        };
        assert_eq!(firsts, expected);
        assert_eq!(rig.effects.released, 1);
        rig.end();
    }
}

#[test]
fn a_message_that_is_on_its_way_ends_in_one_frame_in_a_hurry() {
    let mut rig = rig(&Keeper::new(pass, 2), false);
    rig.send(b"123456", 1);
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.work(&mut 1, account, effects);
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.close(1000, "", account, effects);
    rig.sender.hurry(account, effects);
    rig.flush();
    let expected: [(u8, &[u8]); 3] = [(0x01, b"12"), (0x80, b"3456"), (0x88, b"\x03\xe8")];
    assert_eq!(
        rig.frames(),
        expected.map(|(first, one)| (first, one.to_vec()))
    );
    rig.end();
}

#[test]
fn what_is_sent_behind_a_close_does_not_go_before_it() {
    let mut rig = rig(&Keeper::new(pass, usize::MAX), false);
    rig.send(b"before", 1);
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.close(1000, "", account, effects);
    rig.send(b"after", 2);
    rig.compress();
    let firsts = rig.frames();
    assert_eq!(
        firsts,
        [(0x81, b"before".to_vec()), (0x88, b"\x03\xe8".to_vec())]
    );
    assert_eq!(rig.effects.released, 3);
    rig.end();
}

#[test]
fn who_reads_nothing_is_not_waited_for_before_our_close_frame() {
    for is_last in [false, true] {
        let mut rig = rig(&Keeper::new(pass, usize::MAX), false);
        rig.room = 3;
        rig.send(b"kept", 1);
        rig.compress();
        rig.send(b"at the door", 1);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        if is_last {
            rig.sender.close_last(1000, "", account, effects);
        } else {
            rig.sender.close(1000, "", account, effects);
        }
        assert!(rig.wait(Duration::ZERO) && rig.wait(4 * SECOND));
        assert!(!rig.wait(2 * SECOND), "{is_last}");
        rig.end();
    }
}
