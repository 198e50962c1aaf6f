//! What the log and the status are told of keys and clock.

use super::changes::Changes;
use crate::engine::{ClockFault, Engine};
use crate::id::Epoch;
use crate::sys::clock;
use crate::sys::log::{Danger, Event, Program, log};
use tokio::sync::watch;

/// With so many epochs of published keys left, others soon have none to send to this node by.
const FEW: u64 = 2;

/// Looks at the engine after each turn, and tells what is new.
#[derive(Debug)]
pub struct Keeper {
    changes: Changes,
    /// The epoch for which the log was told that few keys are left.
    told: Option<Epoch>,
    shown: watch::Sender<Option<ClockFault>>,
}

impl Keeper {
    /// One for a node that starts now. What is wrong with the clock is sent to `shown`.
    #[must_use]
    pub const fn new(shown: watch::Sender<Option<ClockFault>>) -> Self {
        Self { changes: Changes::of_the_unknown(), told: None, shown }
    }

    /// To be called at each turn.
    pub(super) fn look(&mut self, engine: &mut Engine) {
        for epoch in engine.take_gone_keys() {
            log(Program::Node, Event::KeyRotated { epoch });
        }
        let fault = engine.clock_fault();
        self.shown.send_if_modified(|shown| std::mem::replace(shown, fault) != fault);
        match fault {
            None => drop(self.changes.up()),
            // Others have a say in it, and could make the log grow.
            Some(fault) if self.changes.down() => log(Program::Node, Event::Alarm { what: danger(fault) }),
            Some(_) => {}
        }
        if let Some((epoch, left)) = engine.published_keys_left(clock::now())
            && left <= FEW
            && self.told.replace(epoch) != Some(epoch)
        {
            log(Program::Node, Event::KeyExpiring { left });
        }
    }
}

const fn danger(fault: ClockFault) -> Danger {
    match fault {
        ClockFault::Off => Danger::ClockOff,
        ClockFault::SetBack => Danger::ClockSetBack,
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::tests::engine;
    use super::*;
    use crate::directory::fixture::{at, descriptor, document, key};
    use crate::engine::Input;
    use std::time::Duration;

    #[test]
    fn what_others_say_of_the_clock_is_shown_until_it_is_right() {
        let (shown, seen) = watch::channel(None);
        let (mut keeper, mut engine) = (Keeper::new(shown), engine());
        let document = document((1..=4).map(|n| (n, descriptor(n))));
        let right = at(1);
        let others = (1..=4).map(|n| Input::Clock { peer: key(n).node_id(), said: right });
        let up = Input::Uptime(Duration::from_secs(60));
        let inputs = [up, Input::Document(Box::new(document))].into_iter().chain(others).collect();
        let mut rng = clock::rng();
        for (inputs, now, want) in [
            (inputs, right, None),
            (vec![], right.plus(Duration::from_secs(700)), Some(ClockFault::Off)),
            (vec![], right.minus(Duration::from_secs(700)), Some(ClockFault::Off)),
            (vec![], right, None),
        ] {
            engine.handle(inputs, now, &mut rng).unwrap();
            keeper.look(&mut engine);
            assert_eq!(*seen.borrow(), want, "{now:?}");
        }
    }
}
