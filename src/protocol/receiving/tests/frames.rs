//! In which frames a message came.

use super::*;

/// What was found, and the lengths that go with it.
fn found(
    receiver: &mut Receiver,
    account: &mut Account,
    read: &[u8],
) -> Result<Vec<(usize, Vec<usize>)>, Violation> {
    let mut bytes = read.to_vec();
    let mut window = Window::new(&mut bytes);
    let mut found = Vec::new();
    while let Some(event) = receiver.next(&mut window, &mut 0, account)? {
        if let Event::Message { parts, payload, .. } = event {
            found.push((parts.len() + payload.len(), receiver.take_frames(account)));
            parts.release(account);
        }
    }
    Ok(found)
}

#[test]
fn they_are_noted_however_the_reads_cut_them() {
    let lens = [3, 0, 126, 70_000, 1, 0];
    let mut wire = frame(TEXT, b"whole");
    for (index, len) in lens.iter().enumerate() {
        let opcode = if index == 0 { BINARY } else { CONTINUE };
        let is_last = index + 1 == lens.len();
        wire.extend(frame(PING, b""));
        let more = if is_last { 0xff } else { MORE };
        wire.extend(frame(opcode & more, &vec![b'x'; *len]));
    }
    wire.extend(frame(TEXT, b"behind"));
    let (first, then) = (frame(TEXT & MORE, b"a"), frame(CONTINUE, b"bc"));
    wire.extend([first, then].concat());
    for size in [1, 5, 300, 20_000, wire.len()] {
        let mut reader = Reader::new(1 << 20, 1 << 24);
        reader.receiver.note_frames();
        let mut all = Vec::new();
        for read in wire.chunks(size) {
            all.extend(found(&mut reader.receiver, &mut reader.account, read).unwrap());
        }
        let sum = lens.iter().sum();
        let expected = [
            (5, vec![]),
            (sum, lens.to_vec()),
            (6, vec![]),
            (3, vec![1, 2]),
        ];
        assert_eq!(all, expected, "reads of {size}");
        assert_eq!(reader.account.held(), 0);
    }
}

#[test]
fn nobody_asks_for_them() {
    let mut reader = Reader::new(100, 1000);
    let wire = [frame(TEXT & MORE, b"a"), frame(CONTINUE, b"bc")].concat();
    let all = found(&mut reader.receiver, &mut reader.account, &wire).unwrap();
    assert_eq!(all, [(3, vec![])]);
}

#[test]
fn they_are_charged_also_if_the_frames_are_empty() {
    for size in [6, 6 * 40] {
        let mut reader = Reader::new(100, 4096);
        reader.receiver.note_frames();
        let mut wire = frame(BINARY & MORE, b"");
        for _ in 0..2000 {
            wire.extend(frame(CONTINUE & MORE, b""));
        }
        let failed = wire.chunks(size).find_map(|read| {
            let failed = found(&mut reader.receiver, &mut reader.account, read).err();
            assert!(reader.account.held() <= 4096);
            failed
        });
        assert_eq!(failed.unwrap().code, 1013);
        reader.receiver.release(&mut reader.account);
        assert_eq!(reader.account.held(), 0);
    }
}

#[test]
fn those_beyond_the_last_that_is_told_are_one_with_it() {
    for size in [3, 7 * 1000, usize::MAX] {
        let mut reader = Reader::new(100_000, 1 << 20);
        reader.receiver.note_frames();
        let mut wire = frame(BINARY & MORE, b"a");
        for _ in 0..10_000 {
            wire.extend(frame(CONTINUE & MORE, b"b"));
        }
        let most = 4096;
        for read in wire.chunks(size) {
            let all = found(&mut reader.receiver, &mut reader.account, read).unwrap();
            assert!(all.is_empty());
        }
        let frames = most * size_of::<usize>();
        let held = reader.account.held();
        assert!(held <= frames + 2 * 10_001 + 1024, "{held} bytes");
        let last = frame(CONTINUE, b"");
        let all = found(&mut reader.receiver, &mut reader.account, &last).unwrap();
        let mut expected = vec![1; most];
        expected[most - 1] = 10_001 - (most - 1);
        assert_eq!(all, [(10_001, expected)]);
        assert_eq!(reader.account.held(), 0);
    }
}
