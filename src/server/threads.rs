//! The threads of the workers: all of them are there before one of them serves, or none is.

use super::shared::Shared;
use super::worker::{self, Go};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// A thread, and what has it go.
pub(super) type Thread = (JoinHandle<()>, mpsc::Sender<Go>);

/// A thread for each worker, with all that it needs to run; none does before all do.
pub(super) fn spawn(shared: &Arc<Shared>) -> io::Result<Vec<Thread>> {
    let mut workers = Vec::new();
    let (ready, readiness) = mpsc::channel();
    let spawned = spawn_each(shared, &ready, &mut workers);
    drop(ready);
    let all_ready = spawned.and_then(|()| {
        workers.iter().try_for_each(|_| {
            // A thread that ends without a word has panicked.
            readiness
                .recv()
                .map_err(|_gone| io::Error::other("a worker thread panicked"))?
        })
    });
    match all_ready {
        Ok(()) => Ok(workers),
        Err(error) => {
            for (thread, go) in workers {
                drop(go);
                // It has not run anything that was worth the name.
                let _ = thread.join();
            }
            Err(error)
        }
    }
}

fn spawn_each(
    shared: &Arc<Shared>,
    ready: &mpsc::Sender<io::Result<()>>,
    workers: &mut Vec<Thread>,
) -> io::Result<()> {
    for index in 0..shared.workers.len() {
        let (shared, ready) = (shared.clone(), ready.clone());
        let (go, gone) = mpsc::channel::<Go>();
        let work = move || {
            let runtime = match worker::runtime(shared.handler.clone()) {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // The receiver waits for it.
            let _ = ready.send(Ok(()));
            drop(ready);
            if let Ok((listeners, hand, life)) = gone.recv() {
                worker::run(runtime, shared, index, listeners, hand);
                drop(life);
            }
        };
        let thread = thread::Builder::new()
            .name(format!("echoserver-w{index}"))
            .spawn(work)?;
        workers.push((thread, go));
    }
    Ok(())
}
