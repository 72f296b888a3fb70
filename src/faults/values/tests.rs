use super::*;

#[test]
fn times_and_numbers_are_read() {
    let cases = [
        ("2", 2000),
        ("0.5s", 500),
        ("200ms", 200),
        ("1min", 60_000),
        ("0", 0),
    ];
    for (text, millis) in cases {
        assert_eq!(seconds(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "-1", "1h", "1.2.3", "1 s", "nan", "1e3"] {
        assert_eq!(seconds(text), None, "{text}");
    }
    let cases = [
        ("5", 5),
        ("64KiB", 64 << 10),
        ("100kB", 100_000),
        ("1MiB", 1 << 20),
    ];
    for (text, number) in cases {
        assert_eq!(count(text), Some(number), "{text}");
    }
    for text in [
        "",
        "-1",
        "1.5",
        "k",
        "5 k",
        "99999999999999999999",
        "18446744073709551615kib",
    ] {
        assert_eq!(count(text), None, "{text}");
    }
}

#[test]
fn what_is_out_of_range_is_none() {
    let cases: [(Type, &[&str], &[&str]); 7] = [
        (
            Type::Seconds(60),
            &["0", "60", "60000ms"],
            &["60.001", "2min"],
        ),
        (Type::Count("bytes", 1, 10), &["1", "10b"], &["0", "11"]),
        (
            Type::Count("bytes per second", 1, 1 << 20),
            &["1", "1MiB"],
            &["2MiB", "1MiB/s"],
        ),
        (Type::Count("", 300, 599), &["503"], &["503b", "0.5kB"]),
        (
            Type::Code,
            &["1000", "1011", "4999"],
            &["1005", "999", "x", "01000", "+100", "1000b"],
        ),
        (Type::Direction, &["in", "out", "both"], &["", "up"]),
        (Type::Message(3), &["", "abc"], &["abcd"]),
    ];
    for (kind, good, bad) in cases {
        for text in good {
            assert!(kind.parse(text).is_some(), "{kind:?} {text}");
        }
        for text in bad {
            assert!(kind.parse(text).is_none(), "{kind:?} {text}");
        }
    }
    assert!(Type::Reason.parse(&"é".repeat(62)).is_none());
}
