//! What an activation is for.

use std::sync::Arc;

use super::shared::Shared;
use crate::samples::LabelsInUse;

/// Labels of one recorder, for instance the route and the tenant of a request. Made by
/// [`Recorder::labels`](crate::Recorder::labels); copies are cheap.
#[derive(Clone, Debug)]
pub struct Labels {
    set: Arc<LabelsInUse>,
}

impl Labels {
    pub(crate) fn new(set: LabelsInUse) -> Self {
        Self { set: Arc::new(set) }
    }

    /// The labels for `recorder`: none if they are another one's. Whoever records with them keeps this meanwhile.
    pub(crate) fn of(&self, recorder: &Shared) -> Option<Arc<LabelsInUse>> {
        self.set.are_of(&recorder.labels).then(|| Arc::clone(&self.set))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::lock::lock;
    use crate::{Recorder, SymbolMap};

    #[test]
    fn nobody_waits_for_the_log_who_only_becomes_active() {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, "(module)").expect("a module");
        let map = Arc::new(SymbolMap::builder("empty").build(&module).expect("a map"));
        let builder = Recorder::builder(Duration::from_millis(1)).code(map, &module).allow_unsampled();
        let recorder = Arc::new(builder.start().expect("a recorder"));
        let (done, is_done) = mpsc::channel();
        let log = Arc::clone(&recorder.shared().log);
        // Somebody has it for as long as he likes.
        let held = lock(&log);
        std::thread::spawn({
            let recorder = Arc::clone(&recorder);
            move || {
                for number in 0..100 {
                    let labels = recorder.labels([("request", number.to_string())]);
                    let active = recorder.enter_labeled(&labels);
                    drop((labels, recorder.instrument(async {}), recorder.elapsed(), active));
                }
                done.send(()).expect("somebody waits");
            }
        });
        // Only a failure takes so long.
        is_done.recv_timeout(Duration::from_secs(60)).expect("no lock is waited for");
        drop(held);
        assert_eq!(recorder.finish().counts().taken, recorder.snapshot().counts().taken);
        assert_eq!(recorder.elapsed(), recorder.elapsed(), "it has ended");
    }
}
