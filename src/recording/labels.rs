//! What an activation is for.

use std::sync::Arc;

use super::recorder::Shared;
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
        self.set.are_of(recorder.labels()).then(|| Arc::clone(&self.set))
    }
}
