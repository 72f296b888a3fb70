use super::{Place, parse};
use crate::faults::plan::Plan;
use crate::faults::selector::{After, Selector};
use crate::faults::table::TABLE;
use crate::faults::values::Type;
use std::time::Duration;

fn url(text: &str) -> Plan {
    parse(text, Place::Url).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

fn wrong(text: &str, place: Place) -> String {
    match parse(text, place) {
        Ok(plan) => panic!("{text}: {plan:?}"),
        Err(wrong) => wrong.to_string(),
    }
}

#[test]
fn a_parameter_is_a_fault() {
    let plan = url("latency=200ms&close=1011,after:5,reason:a%2Cb%3A%26c&seed=7&info");
    assert_eq!((plan.seed, plan.info), (Some(7), true));
    let names: Vec<_> = plan.faults.iter().map(|asked| asked.row.name).collect();
    assert_eq!(names, ["latency", "close"]);
    let [latency, close] = &*plan.faults else {
        panic!("{plan:?}");
    };
    assert_eq!(
        latency.values.seconds("seconds"),
        Duration::from_millis(200)
    );
    assert_eq!(latency.values.seconds("jitter"), Duration::ZERO);
    assert_eq!(close.values.code("code"), 1011);
    assert_eq!(close.values.text("reason"), "a,b:&c");
    assert_eq!(close.selector.after, After::Count(5));
    assert_eq!(latency.selector, Selector::default());
}

#[test]
fn each_row_can_be_written_as_it_is_called() {
    for row in TABLE {
        let sample = |kind: Type| match kind {
            Type::Seconds(_) => "0.5".to_owned(),
            // A URL has not every status.
            Type::Count(_, _, most) => most.to_string(),
            Type::Message(_) => "2".into(),
            Type::Code => "1001".into(),
            Type::Reason => "why".into(),
            Type::Direction => "both".into(),
            Type::Violation => "reserved-bit-1".into(),
            Type::Token => "token".into(),
            Type::Field => "any text".into(),
        };
        let mut parameters = row.parameters.iter();
        let main = parameters
            .next()
            .map_or(String::new(), |one| format!("={}", sample(one.kind)));
        let others = parameters.map(|one| format!(",{}:{}", one.name, sample(one.kind)));
        let text = format!("{}{main}{}", row.name, others.collect::<String>());
        let plan = url(&text);
        assert_eq!(plan.faults.len(), 1, "{text}");
        assert_eq!(plan.faults[0].row.class, row.class);
        // And by its keys alone.
        let keys = row.parameters.iter();
        let keys = keys.map(|one| format!(",{}:{}", one.name, sample(one.kind)));
        let again = url(&format!("{}{}", row.name, keys.collect::<String>()));
        assert_eq!(again.faults[0].values, plan.faults[0].values, "{text}");
    }
}

#[test]
fn what_has_no_value_is_written_in_each_way() {
    for text in [
        "drop,after:2s,every:3,probability:0.5,times:4",
        "drop=after:2s,every:3,probability:0.5,times:4",
        "drop=,after:2s,every:3,probability:0.5,times:4",
        "%64rop=,a%66ter:2%73,every:3,,probability:0.5,times:4&",
    ] {
        let plan = url(text);
        let expected = Selector {
            after: After::Time(Duration::from_secs(2)),
            every: 3,
            probability: 0.5,
            times: Some(4),
            ..Selector::default()
        };
        assert_eq!(plan.faults[0].selector, expected, "{text}");
    }
    for text in ["", "&", "info", "info=", "seed=1&&info"] {
        assert!(url(text).faults.is_empty(), "{text}");
    }
    for text in ["drop,path:room", "drop,path:/room%3Fa"] {
        let text = wrong(text, Place::Server);
        assert!(text.contains(": must be the path that a client"), "{text}");
    }
    assert!(wrong("drop,after:5.", Place::Server).contains("such as '2s'"));
    assert!(wrong("close=+1000", Place::Server).contains("must be 1000 to"));
    let path = parse("drop,path:/room", Place::Server).unwrap();
    assert_eq!(path.faults[0].selector.path.as_deref(), Some("/room"));
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let cases = [
        (
            "lattency=1",
            "'lattency': there is no such fault; there are drop, duplicate, ",
        ),
        (
            "latency=abc",
            "latency: seconds='abc': must be 0 to 60 seconds",
        ),
        (
            "latency=61",
            "latency: seconds='61': must be 0 to 60 seconds",
        ),
        ("latency", "latency: seconds: is missing: 0 to 60 seconds"),
        ("replace=", "replace: data: is missing: text or bytes"),
        (
            "latency=1,jiter:2",
            "latency: 'jiter': there is no such key; there are seconds, jitter, direction, ",
        ),
        (
            "latency=1,every:2",
            "latency: every='2': it acts on bytes, which nobody counts",
        ),
        (
            "no-pong,after:1",
            "no-pong: after='1': it lasts as long as it is set",
        ),
        (
            "latency=1,2",
            "latency: '2': behind the first comma there are only parts such as after:5",
        ),
        (
            "latency=1,seconds:2",
            "latency: seconds='2': is given twice",
        ),
        ("drop,after:1,after:2", "drop: after='2': is given twice"),
        (
            "drop,after:1h",
            "drop: after='1h': must be a number, or a time of at most an hour",
        ),
        (
            "drop,after:-1",
            "drop: after='-1': must be a number, or a time",
        ),
        (
            "drop,every:0",
            "drop: every='0': must be a whole number, 1 or more",
        ),
        (
            "drop,times:+1",
            "drop: times='+1': must be a whole number, 1 or more",
        ),
        (
            "drop,probability:nan",
            "drop: probability='nan': must be a number above 0",
        ),
        ("drop=1", "drop: '1': it takes no value, only keys"),
        (
            "duplicate=11",
            "duplicate: copies='11': must be 1 to 10 copies",
        ),
        ("close=1005", "close: code='1005': must be 1000 to 1003"),
        (
            "replace=%4",
            "replace: '%4': a % is followed by two hexadecimal digits",
        ),
        (
            "replace=%+1",
            "replace: '%+1': a % is followed by two hexadecimal digits",
        ),
        ("replace=data:%ff", "replace: '%ff': is not UTF-8, decoded"),
        ("seed=-1", "seed: '-1': must be 0 to 2**64 - 1"),
        ("seed", "seed: must be 0 to 2**64 - 1"),
        ("seed=1&seed=1", "seed: '1': is given twice"),
        ("seed=1,after:1", "seed: 'after': takes no keys"),
        ("=1", "'': there is no such fault"),
    ];
    for (text, expected) in cases {
        for place in [Place::Server, Place::Url] {
            let text = wrong(text, place);
            assert!(text.starts_with(expected), "{text}");
        }
    }
    let text = wrong("lattency", Place::Url);
    assert!(text.ends_with("wrong-extension, seed, info"), "{text}");
    let text = wrong("info", Place::Server);
    assert!(text.ends_with("wrong-extension, seed"), "{text}");
    let text = wrong("drop,client:1", Place::Server);
    let expected = "drop: 'client': there is no such key; there are path, after";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn an_error_is_one_short_line_whatever_was_written() {
    let long = "x".repeat(10_000);
    for text in [
        long.clone(),
        format!("drop,{long}:1"),
        format!("drop,after:{long}"),
        format!("latency=1,{long}"),
        format!("{long}%zz"),
        format!("drop,{long}:%zz"),
        "a%0d%0ab".into(),
        "drop,a%0d%0ab:1".into(),
        "latency=%0a".into(),
    ] {
        let text = wrong(&text, Place::Url);
        assert!(text.len() < 700, "{text}");
        assert!(!text.contains(['\r', '\n']), "{text}");
    }
}

#[test]
fn faults_of_which_one_leaves_nothing_exclude_each_other() {
    for text in [
        "close&reset",
        "reset&close,after:5",
        "fragment=1&half-close",
        "drop&duplicate",
        "replace=x&drop",
        "no-pong&freeze",
        "freeze&latency=1",
        "freeze&freeze",
    ] {
        let text = wrong(text, Place::Server);
        assert!(text.contains("they exclude each other"), "{text}");
    }
    for text in [
        "close,after:5&reset,after:7",
        "drop,every:2&duplicate",
        "fragment=1&reset,after:2",
        "close&latency=1&no-close-reply",
        "close,path:/a&reset,path:/b",
        "freeze,path:/a&drop,path:/b",
        "latency=1&latency=1",
    ] {
        assert!(parse(text, Place::Server).is_ok(), "{text}");
    }
}

#[test]
fn by_url_there_are_limits() {
    let many = "drop,every:2&".repeat(17);
    let cases = [
        (&*many, "drop: a URL can have 16 faults at most"),
        (
            "latency=40&latency=20,jitter:1ms",
            "latency: by URL bytes can arrive 60 seconds later at most, altogether",
        ),
        (
            "duplicate=5&duplicate=6",
            "duplicate: by URL a message can be sent 10 more times at most, altogether",
        ),
        (
            "drop,every:2&duplicate=5&drop,times:1&duplicate=6",
            "duplicate: by URL a message can be sent 10 more times",
        ),
        (
            "replace=a%0ab",
            r"replace: data='a\nb': by URL a value can have no CR or LF",
        ),
        (
            "close,reason:%0d",
            r"close: reason='\r': by URL a value can have no CR or LF",
        ),
    ];
    for (text, expected) in cases {
        assert!(parse(text, Place::Server).is_ok(), "{text}");
        let text = wrong(text, Place::Url);
        assert!(text.starts_with(expected), "{text}");
    }
    // Which exclude each other, but so many are not looked at.
    let text = wrong(&"drop&".repeat(17), Place::Url);
    assert!(text.starts_with("drop: a URL can have 16 faults"), "{text}");
    url("latency=40&latency=20&duplicate=5&duplicate=5");
    url(&"drop,every:2&".repeat(16));
    // One bomb, which is not large, and no second.
    url("violate=bomb-of-16-MiB&violate=masked");
    let text = wrong(&"violate=bomb-of-16-MiB&".repeat(2), Place::Url);
    let reason = "violate: by URL violations can have 24576 bytes at most";
    assert!(text.starts_with(reason), "{text}");
    // Whether it is too much is found before each fault is compared with each.
    for many in ["freeze&".repeat(17), "violate=bomb-of-256-MiB&".repeat(17)] {
        let reason = "a URL can have 16 faults at most";
        assert!(wrong(&many, Place::Url).ends_with(reason));
        // Nor is the rest read.
        assert!(wrong(&format!("{many}none"), Place::Url).ends_with(reason));
    }
    // A URL has one path.
    assert!(wrong("drop,path:/room", Place::Url).contains("there are after, every"));
}
