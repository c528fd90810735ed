//! What an activation is for.

use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::samples::{LabelsInUse, Span, TraceContext};

/// Labels of one recorder, for instance the route and the tenant of a request. Made by
/// [`Recorder::labels`](crate::Recorder::labels); copies are cheap.
#[derive(Clone, Debug)]
pub struct Labels {
    set: Arc<LabelsInUse>,
    recorder: Weak<Shared>,
}

impl Labels {
    pub(crate) fn new(recorder: &Arc<Shared>, set: LabelsInUse) -> Self {
        recorder.forget_labels();
        Self { set: Arc::new(set), recorder: Arc::downgrade(recorder) }
    }

    /// The same labels for one request alone: what is recorded with them can be told from everything else, so that
    /// [`Recorder::capture_on`](crate::Recorder::capture_on) can show it. Give them to all activations of the request, and to its
    /// [`Span`].
    ///
    /// Only a recording of which the last part is kept ([`RecorderBuilder::keep_last`](crate::RecorderBuilder::keep_last)) tells
    /// requests apart, a million of them in each of its windows. Otherwise, these are the labels that they were made of.
    ///
    /// ```
    /// # use witprof::{Labels, Recorder, Span};
    /// # async fn answer() {}
    /// # async fn example(recorder: &Recorder, cart: &Labels) {
    /// let (begin, start) = (recorder.elapsed(), std::time::Instant::now());
    /// let request = cart.request();
    /// recorder.instrument(answer()).labeled(&request).await;
    /// recorder.record_span(Span::new("GET /cart", begin, start.elapsed()).labels(&request));
    /// # }
    /// ```
    #[must_use]
    pub fn request(&self) -> Self {
        self.for_one(None)
    }

    /// The same for a request that is a part of a trace: [`TraceContext::from_traceparent`] reads where the client says it is.
    #[must_use]
    pub fn trace(&self, context: TraceContext) -> Self {
        self.for_one(Some(context))
    }

    fn for_one(&self, trace: Option<TraceContext>) -> Self {
        match self.recorder.upgrade() {
            Some(recorder) => Self::new(&recorder, recorder.labels.add_request(&self.set, trace)),
            // Nothing is recorded any more.
            None => self.clone(),
        }
    }

    /// The labels for `recorder`: none if they are another one's. Whoever records with them keeps this meanwhile.
    pub(crate) fn of(&self, recorder: &Shared) -> Option<Arc<LabelsInUse>> {
        self.set.are_of(&recorder.labels).then(|| Arc::clone(&self.set))
    }
}

impl Span {
    /// Says with which labels the guest was active for it. If they are those of one request ([`Labels::request`]), its samples are
    /// known.
    #[must_use]
    pub fn labels(self, labels: &Labels) -> Self {
        self.with_purpose(labels.set.purpose().clone())
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
