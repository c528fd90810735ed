//! Code that is registered with a recorder.

use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::code::{Entry, Names};
use crate::component::Code;
use crate::error::{Error, Result, SignalProblem};
use crate::lock::lock;
use crate::sampler::signal::SignalSampler;

/// Code that may be seen until this is dropped. Made by [`Recorder::register`](crate::Recorder::register).
///
/// It may be dropped on any thread, also while guests are in the code: what they do from then on is not shown.
#[derive(Debug)]
#[must_use = "the code is unregistered when it is dropped"]
pub struct Registration {
    recorder: Weak<Shared>,
    entry: Arc<Entry>,
    unseen: Option<SignalProblem>,
    is_kept: bool,
}

impl Registration {
    pub(super) fn new(shared: &Arc<Shared>, names: Names, code: Code) -> Result<Self> {
        if shared.state.is_stopped() {
            return Err(Error::Finished { name: names.name().to_owned() });
        }
        let is_pulley = code.engine().is_pulley();
        let entry = shared.code.register(names, code, |table, replaces| shared.scenes.publish(table, replaces))?;
        let unseen = (is_pulley && shared.signal.is_some()).then(|| SignalProblem::Interpreter { name: entry.name() });
        shared.let_go();
        shared.update_engines();
        Ok(Self { recorder: Arc::downgrade(shared), entry, unseen, is_kept: false })
    }

    /// Why the code is never seen, though it is registered: it is interpreted, and signals sample.
    #[must_use]
    pub fn unseen(&self) -> Option<&SignalProblem> {
        self.unseen.as_ref()
    }

    /// Unregisters the code now, as dropping this does: from now on it is not seen any more. What has been recorded of it keeps
    /// its names.
    pub fn unregister(self) {}

    /// Keeps the code registered for as long as the recorder lives.
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    /// Its number, for tracers of `shared`; `None` if it is registered with another recorder.
    pub(super) fn number(&self, shared: &Arc<Shared>) -> Option<u32> {
        std::ptr::eq(self.recorder.as_ptr(), Arc::as_ptr(shared)).then(|| self.entry.number())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // With the recorder, everything has gone.
        let Some(shared) = self.recorder.upgrade() else { return };
        shared.unregister(&self.entry);
    }
}

impl Shared {
    fn unregister(&self, entry: &Arc<Entry>) {
        if !self.code.unregister(entry, |table| self.scenes.publish(table, Some(entry.number()))) {
            return;
        }
        self.let_go();
        self.update_engines();
        let is_here = self.signal.as_ref().is_none_or(SignalSampler::is_here);
        if self.retirement.add(Arc::clone(entry), is_here)
            && let Some(signal) = &self.signal
        {
            signal.wake_collector();
        }
    }

    /// Lets go of scenes that were replaced, so that they do not add up while the collector sleeps.
    fn let_go(&self) {
        match &self.signal {
            Some(signal) if signal.is_here() => signal.let_go(),
            _ => self.scenes.let_go_at_once(),
        }
    }

    /// Has the epochs of those engines advanced that have code here.
    pub(super) fn update_engines(&self) {
        if self.signal.is_none() {
            // Locked first, so that the last one to ask is the last one to write.
            let mut engines = lock(&self.engines);
            *engines = self.code.engines();
        }
    }
}
