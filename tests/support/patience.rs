//! Figures that depend on time.

/// What a figure that is wrong ends a test with.
#[derive(Debug)]
pub struct WrongFigure(pub String);

/// As `assert!`, for a figure that depends on time: within [`patiently`], a wrong one may be measured again.
macro_rules! assert_figure {
    ($is_right:expr, $($message:tt)+) => {
        let is_right: bool = $is_right;
        if !is_right {
            let message = format!("{} ({}:{}): {}", stringify!($is_right), file!(), line!(), format!($($message)+));
            std::panic::panic_any($crate::support::patience::WrongFigure(message));
        }
    };
}

pub(crate) use assert_figure;

/// Does a test that measures time, up to four times: a machine that has other things to do spoils a figure now and then, a
/// defect spoils all of them. That is said of figures alone ([`assert_figure`]): an invariant that fails once has failed.
pub fn patiently(test: impl Fn()) {
    const TIMES: usize = 4;
    let mut wrong = Vec::new();
    while wrong.len() < TIMES {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(&test)) {
            Ok(()) => return,
            Err(panic) => match panic.downcast::<WrongFigure>() {
                Ok(figure) => wrong.push(figure.0),
                Err(other) => std::panic::resume_unwind(other),
            },
        }
    }
    panic!("wrong each time:\n{}", wrong.join("\n"));
}
