use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a worker is told, if it is.
fn told(hand: &Hand) -> Option<Time> {
    match hand.poll_told(&Context::from_waker(Waker::noop())) {
        Poll::Ready(time) => Some(time),
        Poll::Pending => None,
    }
}

/// Has workers, each of which has something due then, take an advance to its end: who has done what, and when.
fn run(hands: &[Hand], due: &mut [Vec<Duration>], began: Instant) -> Vec<(usize, Duration)> {
    let mut done = Vec::new();
    loop {
        let mut was_told = false;
        for (index, hand) in hands.iter().enumerate() {
            let Some(time) = told(hand) else { continue };
            was_told = true;
            let reached = time.reached.duration_since(began);
            let ready = due[index].extract_if(.., |due| *due <= reached);
            done.extend(ready.map(|due| (index, due)));
            hand.answer(due[index].iter().min().map(|due| began + *due), false);
        }
        if !was_told {
            return done;
        }
    }
}

#[test]
fn without_workers_it_only_shows_another_time() {
    let clock = Arc::new(ManualClock::new());
    assert!(clock.advance(SECOND).is_over());
    assert!(clock.advance(Duration::from_millis(500)).is_over());
    assert_eq!(clock.shown(), Duration::from_millis(1500));
}

#[test]
fn what_is_due_happens_in_the_order_of_its_times_whoever_has_it() {
    let clock = Arc::new(ManualClock::new());
    let hands = [clock.join(), clock.join(), clock.join()];
    let mut due = [vec![4, 1, 9], vec![2, 5], vec![3]]
        .map(|due| due.into_iter().map(|due| due * SECOND).collect());
    let advance = clock.advance(4 * SECOND);
    assert!(!advance.is_over());
    let began = hands[0].time().now;
    let done = run(&hands, &mut due, began);
    assert!(advance.is_over());
    let expected = [(0, 1), (1, 2), (2, 3), (0, 4)].map(|(hand, due)| (hand, due * SECOND));
    assert_eq!(done, expected);
    assert_eq!(due, [vec![9 * SECOND], vec![5 * SECOND], vec![]]);
}

#[test]
fn what_has_happened_before_has_its_rounds_at_the_old_time() {
    let clock = Arc::new(ManualClock::new());
    let hand = clock.join();
    let began = hand.time().now;
    let advance = clock.advance(SECOND);
    for _ in 0..ROUNDS {
        assert_eq!(told(&hand).unwrap().now, began);
        assert!(told(&hand).is_none());
        hand.answer(None, false);
    }
    assert_eq!(clock.shown(), SECOND);
    let time = told(&hand).unwrap();
    assert_eq!((time.now, time.reached), (began + SECOND, began));
    assert!(!advance.wait(Some(Instant::now())));
}

#[test]
fn a_worker_that_has_more_to_do_is_given_the_rounds_for_it() {
    let clock = Arc::new(ManualClock::new());
    let hand = clock.join();
    let advance = clock.advance(SECOND);
    for _ in 0..100 {
        assert!(told(&hand).is_some());
        hand.answer(None, true);
        assert_eq!(clock.shown(), Duration::ZERO);
    }
    while told(&hand).is_some() {
        hand.answer(None, false);
    }
    assert!(advance.is_over());
    // But not for ever.
    let advance = clock.advance(SECOND);
    while told(&hand).is_some() {
        hand.answer(None, true);
    }
    assert!(advance.is_over());
}

#[test]
fn advances_come_one_after_the_other_and_end_whoever_leaves() {
    let clock = Arc::new(ManualClock::new());
    let hands = [clock.join(), clock.join()];
    let (mut first, second) = (clock.advance(SECOND), clock.advance(2 * SECOND));
    let context = Context::from_waker(Waker::noop());
    assert!(first.poll(&context).is_pending());
    assert!(told(&hands[0]).is_some());
    let [left, stays] = hands;
    // One that owes an answer.
    drop(left);
    let mut rounds = 0;
    while !first.is_over() {
        assert!(told(&stays).is_some());
        stays.answer(None, false);
        rounds += 1;
    }
    assert!(rounds > ROUNDS);
    assert!(first.poll(&context).is_ready() && !second.is_over());
    assert_eq!(clock.shown(), SECOND);
    drop(stays);
    assert!(second.is_over() && second.wait(None));
    assert_eq!(clock.shown(), 3 * SECOND);
}

#[test]
fn nobody_has_to_wait_for_it() {
    let clock = Arc::new(ManualClock::new());
    let hand = clock.join();
    let mut advance = clock.advance(SECOND);
    let context = Context::from_waker(Waker::noop());
    assert!(advance.poll(&context).is_pending());
    assert_eq!(clock.lock().tasks.len(), 1);
    drop(advance);
    assert_eq!(clock.lock().tasks.len(), 0);
    while told(&hand).is_some() {
        hand.answer(None, false);
    }
    assert_eq!(clock.shown(), SECOND);
}
