//! The end of a script, and what must have come of it.

use super::super::answers::Answer;
use super::super::reading::{End, Reading, read};
use super::{MARK, Play};
use crate::admission::Decision;
use crate::order::Order;
use crate::protocol::close;

impl Play<'_> {
    /// Whether what was said ends between two frames, so that more can be said.
    pub(super) fn is_between(&self) -> bool {
        !self.is_garbled && self.reading().end == End::Between
    }

    pub(super) fn reading(&self) -> Reading {
        let said = &self.said[self.request_len()..];
        read(said, self.options.limit, &self.plain)
    }

    /// Everybody does what is left to do, without the clock.
    pub(super) async fn settle_all(&mut self) {
        self.peer.take_only(usize::MAX);
        self.deliver(usize::MAX);
        loop {
            self.quiet().await;
            self.answers.decide(Decision::accept());
            self.order(|_| Ok(Order::Admit));
            let before = self.watcher.happened();
            while self.answers.answer(usize::MAX, Answer::Echo) {}
            self.quiet().await;
            if self.watcher.happened() == before && !self.answers.is_asked() {
                break;
            }
        }
    }

    pub(super) async fn finish(mut self) {
        self.settle_all().await;
        let may_go_on = !self.done.end && !self.peer.is_over();
        if may_go_on && self.is_between() {
            // Everything is answered, and nothing may be kept of it; unless a worker at its end polls nobody.
            let is_served = !self.done.reset && !self.done.stop;
            if is_served && self.client().is_some_and(|client| client.is_open()) {
                self.check_charges();
            }
            self.say_close(4);
            self.settle_all().await;
        }
        self.peer.send_end();
        if self.done.stop {
            // A worker at its end polls nobody.
            self.quiet().await;
        } else {
            self.peer.expect_drop().await;
            self.hear();
            self.judge();
        }
    }

    /// What is charged when everything was answered and sent: a message that is not complete, and zlib's contexts.
    pub(super) fn check_charges(&mut self) {
        let queued = self.client().map(|client| client.queued());
        assert_eq!(queued, Some(0), "room of the send queue is not given back");
        let said = self.said.len() - self.request_len();
        let messages = self.reading().messages;
        let whole: usize = messages.iter().map(|(_, payload)| payload.len()).sum();
        let contexts = if self.options.has_deflate() {
            500_000
        } else {
            0
        };
        let most = 2 * said.saturating_sub(whole) + 2048 + contexts;
        let used = self.simulation.used();
        assert!(
            used <= most as u64,
            "{used} bytes are charged, {most} at most"
        );
    }

    pub(super) fn judge(&self) {
        let Self {
            hearing,
            done,
            options,
            ..
        } = self;
        if !hearing.is_upgraded() {
            let is_dropped = done.end || done.reset || done.abort;
            let is_alone = is_dropped || done.refusal || done.time;
            assert!(is_alone || options.has_little_memory(), "no upgrade");
            return;
        }
        let is_refused = hearing.close == Some(close::TRY_AGAIN);
        assert!(!is_refused || options.has_little_memory(), "1013 with room");
        let reading = self.reading();
        // A client may say the code of a timeout itself, and gets it back.
        let is_echo =
            self.is_garbled || matches!(reading.end, End::Close(code) if code == hearing.close);
        let is_late = !is_echo
            && matches!(
                hearing.close,
                Some(close::GOING_AWAY | close::INTERNAL_ERROR)
            );
        assert!(!is_late || done.time, "a timeout in no time");
        let is_failed = done.reset || done.abort;
        let has_ended =
            self.is_garbled || matches!(reading.end, End::Between | End::Within | End::Unknown);
        if hearing.close.is_none() {
            let is_blocked = done.time && done.blocking;
            assert!(
                is_failed || is_blocked || done.end && has_ended || self.is_unanswered(),
                "a close without its frame"
            );
        } else {
            assert!(hearing.is_whole());
        }
        if let Some(client) = &self.client {
            assert!(client.ended().is_some());
            assert_eq!(client.queued(), 0, "room of the send queue is lost");
            assert_eq!(self.answers.ends(), 1);
        }
        let is_cut = is_failed
            || is_refused
            || is_late
            || done.close
            || hearing.close.is_none() && done.time;
        let (sends, replies): (Vec<_>, Vec<_>) = hearing
            .messages
            .iter()
            .cloned()
            .partition(|(_, payload)| payload.starts_with(MARK));
        assert!(self.sends.starts_with(&sends), "sends in another order");
        assert!(
            is_failed || is_refused || hearing.close.is_none() || sends.len() >= self.certain,
            "a send is lost"
        );
        if self.is_garbled || reading.end == End::Unknown {
            return;
        }
        compare(
            "replies",
            &replies,
            &self.answers.expected(&reading.messages),
            is_cut,
        );
        let (wanted, given) = self.answers.given(&reading.messages);
        compare("messages given", &given, &wanted, is_cut);
        compare("pongs", &hearing.pongs, &reading.pings, is_cut);
        if !is_cut {
            let stats = self.simulation.server.stats();
            assert_eq!(stats.messages_sent, hearing.messages.len() as u64);
            let received = stats.text_messages_received + stats.binary_messages_received;
            assert_eq!(received, reading.messages.len() as u64);
        }
    }

    /// Whether nobody has closed, so that the client's end was the connection's.
    pub(super) fn is_unanswered(&self) -> bool {
        !self.done.close
            && !self.is_between()
            && matches!(
                self.reading().end,
                End::Within | End::Unknown | End::Between
            )
            || self.is_garbled
    }
}

/// What has come is what has to come, or the beginning of it.
fn compare<T: PartialEq + std::fmt::Debug>(what: &str, came: &[T], due: &[T], is_cut: bool) {
    let is_right = if is_cut {
        due.starts_with(came)
    } else {
        due == came
    };
    let same = came
        .iter()
        .zip(due)
        .take_while(|(came, due)| came == due)
        .count();
    assert!(
        is_right,
        "{what}: {} of {} came, {same} of them right",
        came.len(),
        due.len()
    );
}
