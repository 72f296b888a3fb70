//! The close frame in every order of events.

use super::{Rig, settings};
use crate::protocol::close;
use crate::protocol::violation::Violation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A message comes whose answer comes later; only while the client is read from.
    Message,
    Answer,
    Send,
    /// The stream takes no more, or everything.
    Block,
    Unblock,
    Theirs,
    Violation,
    Ours,
    Later,
    Hurry,
    /// There is no memory for something that has to wait.
    Exhaust,
}

const STEPS: [Step; 11] = [
    Step::Message,
    Step::Answer,
    Step::Send,
    Step::Block,
    Step::Unblock,
    Step::Theirs,
    Step::Violation,
    Step::Ours,
    Step::Later,
    Step::Hurry,
    Step::Exhaust,
];

/// What has to be true, told without the machine.
#[derive(Debug, Default)]
struct Model {
    awaited: usize,
    /// The code of what is due or out; the code that the connection ended with.
    close: Option<(u16, u16)>,
    is_out: bool,
    /// The code of the client's, if it came first.
    theirs: Option<u16>,
    /// Whether the client does not have to answer.
    is_last: bool,
    is_blocked: bool,
    tickets: usize,
    /// Payloads that are to be sent.
    messages: Vec<Vec<u8>>,
}

impl Model {
    fn begin(&mut self, code: u16, is_last: bool) {
        if self.close.is_none() {
            self.close = Some((code, code));
            self.is_last = is_last;
        } else if self.is_out && is_last {
            self.is_last = true;
        }
    }

    fn settle(&mut self) {
        self.is_out |= self.close.is_some() && self.awaited == 0;
    }
}

fn run(steps: &[Step]) {
    let mut rig = Rig::new(settings(), 1 << 20);
    let mut model = Model::default();
    for (number, step) in steps.iter().enumerate() {
        let payload = vec![u8::try_from(number).unwrap(); 3];
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        match step {
            Step::Message if rig.sender.may_read() && rig.sender.may_send() => {
                rig.expect();
                model.awaited += 1;
            }
            Step::Message => {}
            Step::Answer => {
                if model.awaited > 0 {
                    model.awaited -= 1;
                    model.messages.push(payload.clone());
                }
                // Also if none is awaited any more: it comes too late then.
                rig.answer(&payload);
            }
            Step::Send => {
                model.tickets += 10;
                if !model.is_out {
                    model.messages.push(payload.clone());
                }
                rig.send(&payload, 10);
            }
            Step::Block => (rig.room, model.is_blocked) = (0, true),
            Step::Unblock => (rig.room, model.is_blocked) = (usize::MAX, false),
            Step::Theirs => {
                // Nobody reads further than a close frame or a violation.
                if rig.sender.takes_input() {
                    rig.sender.closed(&close::payload(close::NORMAL, ""));
                    if model.close.is_none() {
                        model.theirs = Some(close::NORMAL);
                    }
                    model.begin(close::NORMAL, true);
                }
            }
            Step::Violation => {
                if rig.sender.takes_input() {
                    rig.sender.fail(&Violation::protocol("a rule"), effects);
                    model.begin(close::PROTOCOL_ERROR, true);
                }
            }
            Step::Ours => {
                rig.sender.close(4000, "", account, effects);
                model.begin(4000, false);
                model.awaited = 0;
            }
            Step::Later => {
                rig.sender
                    .close_later(close::GOING_AWAY, "", account, effects);
                model.begin(close::GOING_AWAY, false);
            }
            Step::Hurry => {
                rig.sender.hurry(account, effects);
                if model.close.is_some() {
                    model.awaited = 0;
                }
            }
            Step::Exhaust => {
                let mut other = super::Account::new(rig.memory.clone());
                other.charge_anyway(1 << 20);
                model.tickets += 10;
                if !model.is_out {
                    model.messages.push(payload.clone());
                    if model.is_blocked {
                        let ended = model.theirs.unwrap_or(close::TRY_AGAIN);
                        model.close = Some((close::TRY_AGAIN, ended));
                        (model.is_out, model.is_last, model.awaited) = (true, true, 0);
                    }
                }
                rig.send(&payload, 10);
            }
        }
        rig.flush();
        model.settle();
        assert_eq!(rig.sender.may_send(), !model.is_out);
        assert_eq!(rig.effects.is_closing, model.is_out);
        assert_eq!(rig.sender.is_done(), model.is_out && model.is_last);
    }
    rig.room = usize::MAX;
    rig.flush();
    let mut frames = rig.frames();
    if model.is_out {
        let (first, payload) = frames.pop().unwrap();
        let (code, _) = model.close.unwrap();
        assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]));
    }
    let sent: Vec<Vec<u8>> = frames.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(sent, model.messages);
    assert_eq!(rig.effects.released, model.tickets);
    // The stream is gone now: what is due is never sent.
    let sent = model.close.filter(|_| model.is_out);
    let told = sent.map(|(_, ended)| ended).or(model.theirs);
    assert_eq!(rig.end().0, told.unwrap_or(close::ABNORMAL));
}

#[test]
fn the_close_frame_in_every_order_of_events() {
    // Every sequence of this length, after a message; shorter ones are their beginnings.
    const LENGTH: u32 = 4;
    let mut steps = [Step::Message; LENGTH as usize + 1];
    for number in 0..STEPS.len().pow(LENGTH) {
        let mut rest = number;
        for step in &mut steps[1..] {
            *step = STEPS[rest % STEPS.len()];
            rest /= STEPS.len();
        }
        let ran = std::panic::catch_unwind(|| run(&steps));
        assert!(ran.is_ok(), "{steps:?}");
    }
}

#[test]
fn what_is_said_is_told_and_answered() {
    let long = "é".repeat(70);
    let cases = [
        (Vec::new(), (close::NO_STATUS, ""), close::payload(1000, "")),
        (
            close::payload(4001, "bye"),
            (4001, "bye"),
            close::payload(4001, "bye"),
        ),
        (
            close::payload(1000, &long),
            (1000, &long[..122]),
            close::payload(1000, &long),
        ),
    ];
    for (payload, (code, reason), answer) in cases {
        let mut rig = Rig::new(settings(), 1 << 20);
        rig.sender.closed(&payload);
        rig.flush();
        assert_eq!(rig.frames(), [(0x88, answer)]);
        assert_eq!(rig.end(), (code, reason.to_owned()));
    }
}
