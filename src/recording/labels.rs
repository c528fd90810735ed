//! What an activation is for.

use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::samples::LabelsId;

/// Labels of one recorder, for instance the route and the tenant of a request. Made by
/// [`Recorder::labels`](crate::Recorder::labels); copies are cheap.
#[derive(Clone, Debug)]
pub struct Labels {
    recorder: Weak<Shared>,
    id: LabelsId,
}

impl Labels {
    pub(crate) fn new(recorder: &Arc<Shared>, id: LabelsId) -> Self {
        Self { recorder: Arc::downgrade(recorder), id }
    }

    /// The handle in the log of `recorder`; that of no labels if they are another recorder's.
    pub(crate) fn of(&self, recorder: &Arc<Shared>) -> LabelsId {
        if std::ptr::eq(self.recorder.as_ptr(), Arc::as_ptr(recorder)) { self.id } else { LabelsId::default() }
    }
}
