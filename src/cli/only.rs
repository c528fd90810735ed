//! `--only`: a part of a profile.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use witprof::{Dimension, Filter, Profile};

use super::input::shown;

/// A condition that samples have to meet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Label {
        key: String,
        value: String,
    },
    Component(String),
    /// Not which samples, but whose code is shown of them.
    Code(String),
    Thread(String),
    Time(Range<Duration>),
    /// The request that the profile was captured for.
    Captured,
    Everything,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "captured" => return Ok(Self::Captured),
            "everything" => return Ok(Self::Everything),
            _ => {}
        }
        let kinds =
            "label:KEY=VALUE, component:NAME, thread:NAME, time:FROM..TO, code:COMPONENT, captured or everything";
        let (kind, what) = text.split_once(':').ok_or_else(|| format!("has to be {kinds}"))?;
        match (kind, what) {
            ("label", label) => {
                let (key, value) = label.split_once('=').ok_or("a label is KEY=VALUE, such as `label:tenant=a`")?;
                Ok(Self::Label { key: key.to_owned(), value: value.to_owned() })
            }
            ("component", name) => Ok(Self::Component(name.to_owned())),
            ("code", name) => Ok(Self::Code(name.to_owned())),
            ("thread", name) => Ok(Self::Thread(name.to_owned())),
            ("time", period) => parse_period(period).map(Self::Time),
            _ => Err(format!("has to be {kinds}")),
        }
    }

    fn add_to(&self, filter: Filter) -> Filter {
        match self {
            Self::Label { key, value } => filter.label(key, value),
            Self::Component(name) => filter.component(name),
            Self::Code(name) => filter.code(name),
            Self::Thread(name) => filter.thread(name),
            Self::Time(period) => filter.time(period.clone()),
            Self::Captured | Self::Everything => filter,
        }
    }

    /// Says what there is, if there is nothing of this.
    fn check(&self, profile: &Profile) -> Result<()> {
        match self {
            Self::Label { key, value } => {
                let keys = profile.label_keys();
                if keys.is_empty() {
                    bail!(
                        "no sample has a label: `witprof serve` labels requests, other programs do with `Recorder::labels`"
                    );
                }
                if !keys.contains(&key.as_str()) {
                    let keys = keys.iter().map(|key| format!("label:{key}"));
                    bail!("no sample has a label `{key}`; there is {}", listed(keys));
                }
                let values = profile.label_values(key);
                if !values.contains(&value.as_str()) {
                    let there = listed(values.iter().map(|value| format!("label:{key}={value}")));
                    bail!("no sample has the label `{key}={value}`; there is {there}");
                }
            }
            Self::Component(name) | Self::Code(name) => {
                let components = profile.components();
                if components.is_empty() {
                    bail!("no sample is inside of a component");
                }
                if !components.contains(&name.as_str()) {
                    let there = listed(components.into_iter().map(str::to_owned));
                    bail!("no sample is inside of a component `{name}`; there is {there}");
                }
            }
            Self::Thread(name) => {
                // Threads that share a name have their number behind it there.
                let rows = profile.report(Dimension::Thread).rows.into_iter().map(|row| row.name);
                let numbered: Vec<String> = rows.collect();
                let is_there = profile.threads().iter().any(|thread| thread.name == *name) || numbered.contains(name);
                if !is_there {
                    bail!("there is no thread `{name}`; there is {}", listed(numbered));
                }
            }
            Self::Time(period) if period.start >= profile.elapsed() => {
                let elapsed = profile.elapsed();
                bail!("nothing was recorded from {:?} on: the recording took {elapsed:?}", period.start);
            }
            Self::Captured if profile.captured().is_none() => {
                bail!("it was not captured: `witprof serve --on-slow TIME` makes captures")
            }
            Self::Captured if profile.captured().is_some_and(|captured| captured.thread.is_none()) => {
                bail!("it has no samples of a request alone")
            }
            Self::Time(_) | Self::Captured | Self::Everything => {}
        }
        Ok(())
    }
}

/// `10s..20s`, where either end may be left out.
fn parse_period(text: &str) -> Result<Range<Duration>, String> {
    let wrong = || "not a stretch of time such as `time:10s..20s`, `time:..1500ms` or `time:2min..`".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let time = |text: &str, otherwise| match text.trim() {
        "" => Ok(otherwise),
        text => humantime::parse_duration(text).map_err(|_| wrong()),
    };
    let period = time(start, Duration::ZERO)?..time(end, Duration::MAX)?;
    if period.is_empty() {
        return Err("it ends before it begins".to_owned());
    }
    Ok(period)
}

/// The most names that a message lists.
const LISTED: usize = 20;

fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.get(..LISTED) {
        Some(first) if names.len() > LISTED => format!("{} and {} more", first.join(", "), names.len() - LISTED),
        _ => names.join(", "),
    }
}

/// Which part of a profile is meant.
#[derive(Args)]
pub(super) struct Only {
    /// Take a part of the profile, as if nothing else had been recorded (repeatable): label:KEY=VALUE, component:NAME,
    /// thread:NAME, time:10s..20s, or of a capture the request: captured. Conditions of different kinds all have to hold, of
    /// several of one kind one. code:COMPONENT takes the names of other components out of the stacks
    #[arg(long = "only", value_name = "CONDITION", value_parser = Condition::parse)]
    conditions: Vec<Condition>,
}

impl Only {
    pub(super) fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The same of a profile that is shown: of what was captured for a request that request, unless something was said.
    pub(super) fn of_shown(&self, profile: Profile, path: &Path) -> Result<Profile> {
        if !self.is_everything() {
            return self.of(profile, path);
        }
        Ok(profile.captured_part().unwrap_or(profile))
    }

    /// The part of a profile, which was read from `path`, that is meant.
    pub(super) fn of(&self, profile: Profile, path: &Path) -> Result<Profile> {
        if self.is_everything() {
            return Ok(profile);
        }
        let part = || -> Result<Profile> {
            self.conditions.iter().try_for_each(|condition| condition.check(&profile))?;
            let filter = self.conditions.iter().fold(Filter::default(), |filter, condition| condition.add_to(filter));
            let is_captured = self.conditions.contains(&Condition::Captured);
            let captured = if is_captured { profile.captured_part() } else { None };
            let part = captured.as_ref().unwrap_or(&profile).filter(&filter);
            if part.counts().kept == 0 && profile.counts().kept > 0 {
                bail!("no sample meets all conditions of `--only`");
            }
            Ok(part)
        };
        part().with_context(|| format!("taking a part of the profile {}", shown(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_or_refused() {
        let seconds = Duration::from_secs;
        let label = |key: &str, value: &str| Condition::Label { key: key.to_owned(), value: value.to_owned() };
        for (text, expected) in [
            ("label:tenant=a", label("tenant", "a")),
            ("label:query=a=b:c", label("query", "a=b:c")),
            ("label:empty=", label("empty", "")),
            ("component:demo:math", Condition::Component("demo:math".to_owned())),
            ("code:shop", Condition::Code("shop".to_owned())),
            ("thread:worker[2]", Condition::Thread("worker[2]".to_owned())),
            ("time:10s..20s", Condition::Time(seconds(10)..seconds(20))),
            ("time:..1min 1s", Condition::Time(Duration::ZERO..seconds(61))),
            ("time:500ms..", Condition::Time(Duration::from_millis(500)..Duration::MAX)),
            ("time:..", Condition::Time(Duration::ZERO..Duration::MAX)),
            ("captured", Condition::Captured),
            ("everything", Condition::Everything),
        ] {
            assert_eq!(Condition::parse(text), Ok(expected), "{text}");
        }
        for (text, problem) in [
            ("tenant=a", "has to be label:KEY=VALUE"),
            ("colour:red", "has to be label:KEY=VALUE"),
            ("label:tenant", "a label is KEY=VALUE"),
            ("time:10s", "not a stretch of time"),
            ("time:10..20", "not a stretch of time"),
            ("time:20s..10s", "ends before it begins"),
            ("time:1s..1s", "ends before it begins"),
        ] {
            let told = Condition::parse(text).expect_err(text);
            assert!(told.contains(problem), "{text}: {told}");
        }
    }

    #[test]
    fn a_message_lists_a_few_names() {
        let names = |count: usize| listed((0..count).map(|number| number.to_string()));
        assert_eq!(names(2), "`0`, `1`");
        assert!(names(LISTED).ends_with("`18`, `19`"), "{}", names(LISTED));
        assert!(names(LISTED + 3).ends_with("`19` and 3 more"), "{}", names(LISTED + 3));
    }
}
