//! What a connection is asked to do by other threads.

use super::Connection;
use super::turn::Turn;
use crate::order::{Limits, Message, Order, Ping, Raw, Replies, Share};
use crate::server::wire::Wire;
use std::task::Context;

impl<W: Wire> Connection<W> {
    /// Does what was ordered since the last turn. `false`: the connection is to be dropped. Apart from the turn, which is
    /// most often one without orders: 50 instructions a turn less.
    #[inline(never)]
    pub(super) fn obey_all(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> bool {
        let Some(mut orders) = self.seated.seat.take_orders() else {
            return true;
        };
        let mut given = orders.list.drain(..);
        let goes_on = given.by_ref().all(|order| self.obey(order, turn));
        if !goes_on {
            // Whoever waits for something behind it waits for the end.
            orders.list = given.collect();
            self.seated.seat.give_back(orders);
            self.record_answers(turn);
            self.send_last(cx, turn);
            return false;
        }
        drop(given);
        self.seated.desk.keep_room(orders);
        self.record_answers(turn);
        true
    }

    /// Sends what was ordered before it is dropped, as far as that can be sent now: it may have come together with that
    /// only because the worker, or the turn that gave it, had much to do.
    #[cold]
    fn send_last(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        loop {
            let (account, effects) = (&mut self.account, &mut turn.effects);
            self.sender.settle(account, effects);
            if !self.sender.is_flushed() && !matches!(self.send_kept(cx, turn), Ok(true)) {
                return;
            }
            if !self.sender.has_waiting() {
                return;
            }
            if !self.sender.has_doorkeeper() {
                self.sender.send_waiting(&mut self.account);
                continue;
            }
            if self.has_to_wait(turn) {
                return;
            }
            let (account, effects) = (&mut self.account, &mut turn.effects);
            self.sender.work(&mut turn.budget, account, effects);
        }
    }

    /// `false`: the connection is to be dropped.
    fn obey(&mut self, order: Order, turn: &mut Turn) -> bool {
        let (account, effects) = (&mut self.account, &mut turn.effects);
        match order {
            Order::Admit => {
                self.sender.admit();
                self.take_place();
            }
            Order::Replies(Replies {
                wire,
                ends,
                answered,
                ..
            }) => self.sender.answer(wire, &ends, answered, account, effects),
            Order::Sent(room) => self.sender.give_up(room.into_cost(), effects),
            Order::Send(Message {
                kind,
                payload,
                room,
            }) => {
                let ticket = room.into_cost();
                self.sender.send(kind, payload, ticket, account, effects);
            }
            Order::Share(Share { frame, room }) => {
                let ticket = room.into_cost();
                self.sender.send_shared(frame, ticket, account, effects);
            }
            Order::Ping(Ping { payload, room }) => {
                let ticket = room.into_cost();
                self.sender.ping(&payload, ticket, account, effects);
            }
            Order::Raw(Raw { bytes, room }) => {
                let ticket = room.into_cost();
                self.sender.raw(bytes, ticket, account, effects);
            }
            Order::Pause => self.sender.pause(true),
            Order::Resume => self.sender.pause(false),
            Order::Limits(Limits { message, frame }) => self.receiver.limit(message, frame),
            Order::Close(close) => {
                let (code, reason) = (close.code(), close.reason());
                self.sender.close(code, reason, account, effects);
            }
            Order::Faults(_done) => self.follow_faults(turn),
            Order::Tell(done) => turn.told.push(done),
            Order::Abort => return false,
            Order::Reset => {
                self.wire.reset_on_drop();
                return false;
            }
        }
        true
    }
}
