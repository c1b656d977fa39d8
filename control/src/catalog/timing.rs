//! How long each step of a change takes, for whoever watches that it stays short.

use weir_shared::{
    state::{Histogram, HistogramCounts},
    time::Moment,
};

/// A part of what is done between taking a change up and having it in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From the change to the next configuration.
    Plan,
    /// From the next configuration to the next table.
    Compile,
    /// Making it durable.
    Commit,
    /// Putting the table in force.
    Publish,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Compile, Self::Commit, Self::Publish];

    /// The step as a word, as in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Compile => "compile",
            Self::Commit => "commit",
            Self::Publish => "publish",
        }
    }
}

/// Times of the changes made, by step. Written by the one writer.
#[derive(Debug, Default)]
pub struct ApplyTimes {
    plan: Histogram,
    compile: Histogram,
    commit: Histogram,
    publish: Histogram,
}

impl ApplyTimes {
    /// The times `step` took so far.
    #[must_use]
    pub fn of(&self, step: Step) -> HistogramCounts {
        let mut counts = HistogramCounts::default();
        counts.add(self.histogram(step));
        counts
    }

    /// Notes a change that went through all steps, each of which began at one of `marks` and ended at the next.
    pub(super) fn note(&self, marks: [Moment; 5]) {
        for ((step, begin), end) in Step::ALL.into_iter().zip(marks).zip(marks.into_iter().skip(1)) {
            self.histogram(step).record(end.since(begin));
        }
    }

    fn histogram(&self, step: Step) -> &Histogram {
        match step {
            Step::Plan => &self.plan,
            Step::Compile => &self.compile,
            Step::Commit => &self.commit,
            Step::Publish => &self.publish,
        }
    }
}
