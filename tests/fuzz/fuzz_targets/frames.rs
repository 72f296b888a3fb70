//! The frame engine, fed with anything in any reads.
//!
//! What must hold: nothing panics; the same is found, with the same verdict, however the bytes are split; a verdict falls
//! at the first bad byte, so the bytes before it have none; memory is charged within its limit and given back.
#![no_main]

mod engine;

use engine::{Input, run};
use libfuzzer_sys::fuzz_target;

const PLENTY: usize = 1 << 30;
const TRY_AGAIN: u16 = 1013;

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::new(bytes) else {
        return;
    };
    let whole = run(&input, &[usize::MAX], PLENTY);
    let split = run(&input, &input.reads, PLENTY);
    assert_eq!(split, whole);
    if input.wire.len() <= 2000 {
        assert_eq!(run(&input, &[1], PLENTY), whole);
    }

    // The setting that `Input` leaves to this target.
    let memory_limit = usize::from(bytes[1]) * 60;
    if memory_limit > 0 {
        let poor = run(&input, &input.reads, memory_limit);
        match &poor.violation {
            Some(violation) if violation.code == TRY_AGAIN => {
                assert!(whole.found.starts_with(&poor.found));
            }
            _ => assert_eq!(poor, whole),
        }
    }
});
