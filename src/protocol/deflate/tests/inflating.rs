//! What comes compressed, through the receiver as a connection uses it.

use super::*;

/// The examples of RFC 7692 section 7.2.3, and what they say.
#[test]
fn the_examples_of_the_rfc_are_read() {
    let examples: [(&[u8], &str); 7] = [
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        // The same again, as a reference to the one before.
        (&[0xf2, 0x00, 0x11, 0x00, 0x00], "Hello"),
        // Stored.
        (
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            "Hello",
        ),
        // With BFINAL, then with two blocks.
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
        (
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
            "Hello",
        ),
        // An empty one.
        (&[0x00], ""),
        (&[0x02, 0x00], ""),
    ];
    let mut client = Client::new(agreed(""), 1 << 20);
    for (compressed, expected) in examples {
        client.read_whole(&frame(TEXT, compressed)).unwrap();
        assert_eq!(client.messages.pop().unwrap(), expected.as_bytes());
    }
}

#[test]
fn a_window_survives_a_final_block() {
    let mut client = Client::new(agreed(""), 1 << 20);
    let hello: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let reference: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    // The final block alone, then further blocks behind it in the same message, which refer to it.
    client.read_whole(&frame(TEXT, hello)).unwrap();
    client.read_whole(&frame(TEXT, reference)).unwrap();
    client
        .read_whole(&frame(TEXT, &[hello, reference].concat()))
        .unwrap();
    let expected: [&[u8]; 3] = [b"Hello", b"Hello", b"HelloHello"];
    assert_eq!(client.messages, expected);

    let mut client = Client::new(agreed("; client_no_context_takeover"), 1 << 20);
    client.read_whole(&frame(TEXT, hello)).unwrap();
    assert_eq!(client.read_whole(&frame(TEXT, reference)), Err(1007));
}

#[test]
fn what_is_not_deflate_is_refused() {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let bad: [&[u8]; 10] = [
        // Cut inside a block.
        &hello[..3],
        &hello[..6],
        // A reserved type of block, a stored block with a wrong length, or cut.
        &[0x06],
        &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48],
        &[0x00, 0x09, 0x00, 0xf6, 0xff],
        &[0x00, 0x04, 0x00, 0xfb, 0xff],
        // A reference beyond the beginning.
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        // Behind a final block what is no block.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06],
        // What is left of a block's end.
        &[0x00, 0x00, 0x00, 0xff],
    ];
    for compressed in bad {
        for budget in [1, usize::MAX] {
            let mut client = Client::new(agreed(""), 1 << 20);
            let read = client.read(&frame(BINARY, compressed), budget);
            assert_eq!(read, Err(1007), "{compressed:x?}");
            assert_eq!(client.memory.used(), 0);
        }
    }
    // The tail was left on: with the receiver's own a block begins that does not end.
    let whole = [hello, &TAIL].concat();
    let mut client = Client::new(agreed(""), 1 << 20);
    assert_eq!(client.read_whole(&frame(BINARY, &whole)), Err(1007));
}

#[test]
fn text_is_checked_as_it_was_before_compression() {
    let mut sender = Sender::new(6, 15, true);
    let mut client = Client::new(agreed(""), 1 << 20);
    client
        .read_whole(&frame(TEXT, &sender.message("κόσμε".as_bytes())))
        .unwrap();
    let mut failing = b"good ".repeat(50_000);
    failing.push(0xff);
    failing.extend(b"never looked at".repeat(1000));
    let cut = sender.message(&failing);
    assert_eq!(client.read_whole(&frame(TEXT, &cut)), Err(1007));
    assert_eq!(client.memory.used(), 0);

    let mut client = Client::new(agreed(""), 1 << 20);
    let mut sender = Sender::new(6, 15, true);
    let unfinished = sender.message(&"κόσμε".as_bytes()[..3]);
    assert_eq!(client.read_whole(&frame(TEXT, &unfinished)), Err(1007));
}

#[test]
fn rsv1_is_for_first_frames_of_messages_alone() {
    let whole = Sender::new(6, 15, true).message(b"a message");
    let (first, last) = whole.split_at(4);
    let start = frame(TEXT & 0x7f, first);
    for frames in [
        vec![start.clone(), frame(0xc0, last)],
        vec![start.clone(), frame(0xc9, b"")],
        vec![frame(0xc8, b"")],
        vec![frame(0xca, b"")],
        vec![frame(0xa1, b"")],
        vec![frame(0x91, b"")],
        vec![start.clone(), frame(TEXT, last)],
    ] {
        let mut client = Client::new(agreed(""), 1 << 20);
        assert_eq!(
            client.read_whole(&frames.concat()),
            Err(1002),
            "{frames:x?}"
        );
    }
    let mut client = Client::new(agreed(""), 1 << 20);
    let frames = [start, frame(0x89, b"ping"), frame(0x80, last)];
    client.read_whole(&frames.concat()).unwrap();
    assert_eq!(
        (client.messages, client.pings),
        (vec![b"a message".to_vec()], 1)
    );
}

#[test]
fn a_bomb_costs_at_most_the_limit_and_a_chunk() {
    const LIMIT: usize = 3 << 20;
    let mut sender = Sender::new(9, 15, true);
    let bomb = sender.message(&vec![0; 64 << 20]);
    for budget in [STEP, usize::MAX] {
        let mut client = Client::new(agreed(""), LIMIT);
        let mut most = 0;
        let frame = frame(BINARY, &bomb);
        let mut outcome = Ok(());
        // 3 MiB are 3 KiB compressed: few reads, many turns.
        for piece in frame.chunks(1000) {
            outcome = client.read(piece, budget);
            most = most.max(client.memory.used());
            if outcome.is_err() {
                break;
            }
        }
        assert_eq!(outcome, Err(1009));
        assert!(most <= LIMIT + STEP + INFLATER, "{most}");
        assert_eq!(client.memory.used(), 0);
        assert!(budget > STEP || client.waits >= LIMIT / STEP - 8);
    }
    // A message that is as long as may be is not too long.
    let mut client = Client::new(agreed(""), LIMIT);
    let longest = Sender::new(9, 15, true).message(&vec![1; LIMIT]);
    client.read(&frame(BINARY, &longest), STEP).unwrap();
    assert_eq!(client.messages[0].len(), LIMIT);
    let longer = Sender::new(9, 15, true).message(&vec![1; LIMIT + 1]);
    let mut client = Client::new(agreed(""), LIMIT);
    assert_eq!(client.read(&frame(BINARY, &longer), STEP), Err(1009));
}

#[test]
fn the_memory_limit_is_for_what_came_out() {
    let message = Sender::new(9, 15, true).message(&vec![0; 1 << 20]);
    let mut client = Client::with_memory(agreed(""), 2 << 20, 500_000);
    assert_eq!(client.read(&frame(BINARY, &message), STEP), Err(1013));
    assert_eq!(client.memory.used(), 0);
    let mut client = Client::with_memory(agreed(""), 2 << 20, INFLATER - 1);
    assert_eq!(client.read(&frame(BINARY, &message), STEP), Err(1013));
}

#[test]
fn work_that_yields_nothing_is_paid_for_too() {
    // Empty final blocks: each begins a stream anew.
    let message = [0x03, 0x00].repeat(1000);
    let mut client = Client::new(agreed(""), 1 << 20);
    client.read(&frame(BINARY, &message), STEP).unwrap();
    assert_eq!(client.messages, [b""]);
    assert!(client.waits >= 1000 * START / STEP - 1, "{}", client.waits);
}

#[test]
fn between_messages_only_the_window_is_kept() {
    for (parameters, window) in [
        ("", 32 << 10),
        ("; client_max_window_bits=10", 1 << 10),
        ("; client_max_window_bits=8", 512),
        ("; client_no_context_takeover", 0),
    ] {
        let mut client = Client::new(agreed(parameters), 1 << 20);
        assert_eq!(client.memory.used(), 0, "before the first message");
        let mut sender = Sender::new(6, 9, false);
        for len in [10, 300, 5000, 100_000, 20] {
            let message = vec![b'x'; len];
            client
                .read_whole(&frame(BINARY, &sender.message(&message)))
                .unwrap();
            assert!(client.memory.used() <= window, "{parameters}");
        }
        assert_eq!(client.memory.used(), window, "{parameters}");
        client.receiver.release(&mut client.account);
        assert_eq!(client.memory.used(), 0);
    }
}
