//! The short path: whole messages where they lie.

use super::*;

/// `echo_short` and `next` with an echo give the same bytes, at every split of a mix of frames.
#[test]
fn short_echoes_are_the_echoes() {
    let mut input = Vec::new();
    for (first, text) in [
        (TEXT, "a"),
        (BINARY, ""),
        (TEXT, "κόσμε"),
        (PING, "p"),
        (BINARY, "bin"),
    ] {
        input.extend(frame(first, text.as_bytes()));
    }
    input.extend(frame(BINARY, &[b'x'; 200]));
    input.extend(frame(TEXT, b"end"));
    input.extend(frame(TEXT, "\u{feff}".as_bytes()));
    for cut in 0..=input.len() {
        let [long, short] = [false, true].map(|is_short| {
            let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", 1 << 20)));
            let mut receiver = Receiver::new(Terms::new(Limit::new(&"max_message_size", 1 << 20)));
            let mut out = Vec::new();
            for piece in [&input[..cut], &input[cut..]] {
                let mut bytes = piece.to_vec();
                let mut window = Window::new(&mut bytes);
                loop {
                    if is_short {
                        receiver.echo_short(&mut window, |_, _| {}).unwrap();
                        out.extend_from_slice(&window.bytes[..window.write]);
                        window.write = 0;
                    }
                    match receiver.next(&mut window, &mut 0, &mut account).unwrap() {
                        Some(Event::Message {
                            kind,
                            parts,
                            payload,
                        }) => {
                            let mut message = parts.pieces().collect::<Vec<_>>().concat();
                            message.extend_from_slice(&window.bytes[payload]);
                            out.extend(frame::server_frame(kind.opcode(), &message));
                        }
                        Some(Event::Ping(ping)) => out.extend_from_slice(ping.payload()),
                        Some(_) => panic!("there is nothing else"),
                        None => break,
                    }
                }
            }
            out
        });
        assert_eq!(long, short, "cut at {cut}");
    }
}

#[test]
fn whole_messages_lie_where_they_can_be_sent() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        let mut bytes = frame(BINARY, &payload).repeat(3);
        let mut window = Window::new(&mut bytes);
        let memory = Memory::new(Limit::new(&"memory_limit", 1));
        let mut account = Account::new(memory.clone());
        let mut receiver =
            Receiver::new(Terms::new(Limit::new(&"max_message_size", payload.len())));
        for _ in 0..3 {
            let event = receiver
                .next(&mut window, &mut 0, &mut account)
                .unwrap()
                .unwrap();
            let Event::Message {
                kind: Kind::Binary,
                parts,
                payload: found,
            } = event
            else {
                panic!("{event:?}");
            };
            assert!(parts.is_empty());
            assert_eq!(
                found.start,
                window.write + frame::server_header_len(payload.len())
            );
            window.write = found.end;
            assert!(window.write <= window.read);
            assert_eq!(window.bytes[found], payload[..]);
        }
        assert!(
            receiver
                .next(&mut window, &mut 0, &mut account)
                .unwrap()
                .is_none()
        );
        assert!(receiver.is_idle());
        assert_eq!(memory.used(), 0);
    }
}
