use super::*;
use crate::protocol::account::Memory;
use crate::protocol::limit::Limit;

/// What an allocation takes at least, with what the allocator keeps beside it.
const LEAST: usize = 32;

#[test]
fn what_small_pieces_cost_is_charged() {
    let now = Instant::now();
    let script = Script::new(1, 1, "/", now.into_std(), move || now.into_std());
    let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
    let (mut account, mut lane) = (Account::new(memory), Lane::new(Way::Out));
    // One more than there was room for: half of the queue is empty.
    for _ in 0..=1024 {
        lane.push(b"x", &Shape::default(), &script, &mut account, now);
    }
    let queue = |lane: &Lane| lane.pieces.capacity() * size_of::<Piece>();
    let cost = queue(&lane) + lane.pieces.len() * LEAST;
    assert!(account.held() >= cost, "{} {cost}", account.held());
    while !lane.pieces.is_empty() {
        // Hardly more of it is empty when pieces have left.
        assert!(queue(&lane) <= 2 * account.held() + 1024);
        lane.advance(1, &mut account);
    }
    assert_eq!((account.held(), queue(&lane)), (0, 0));
}
