//! The log: what of it is written, and where to.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{CliError, CliResult};
use crate::console;

const VARIABLE: &str = "FOLIO_LOG";
const OF_REPLICAS: &str = "info,openraft=warn,fjall=warn,lsm_tree=warn";
const OF_COMMANDS: &str = "error";

/// Begins to log.
///
/// # Errors
/// [`CliError::Usage`] if the variable is wrong.
pub(super) fn start(is_server: bool) -> CliResult {
    let default = if is_server { OF_REPLICAS } else { OF_COMMANDS };
    let wanted = match std::env::var(VARIABLE) {
        // Some environments set a variable to nothing to unset it.
        Ok(wanted) if !wanted.trim().is_empty() => wanted,
        Ok(_) | Err(std::env::VarError::NotPresent) => default.to_owned(),
        Err(std::env::VarError::NotUnicode(wanted)) => {
            return Err(CliError::Usage(format!("{VARIABLE} is {wanted:?}: it is not UTF-8")));
        }
    };
    let filter = filter(&wanted).map_err(CliError::Usage)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(console::Log)
        .with_ansi(false)
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// What is logged. The library takes a word that is no level for the name of a target, and then
/// logs nothing else; here a target needs a level, so that a misspelt level is told.
fn filter(wanted: &str) -> Result<EnvFilter, String> {
    let problem = |part: &str| {
        format!(
            "{VARIABLE} is {wanted:?}: {part:?} is neither a level nor TARGET=LEVEL; the levels are off, error, warn, \
             info, debug and trace, and several parts are joined by commas, such as info,openraft=debug"
        )
    };
    let mut parts = Vec::new();
    for part in wanted.split(',').map(str::trim) {
        let (target, level) = part.rsplit_once('=').map_or((None, part), |(target, level)| (Some(target), level));
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
        if level.is_empty() || level.parse::<LevelFilter>().is_err() || target.is_some_and(|target| !is_name(target)) {
            return Err(problem(part));
        }
        parts.push(part);
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|error| format!("{VARIABLE} is {wanted:?}: {error}"))
}

/// Tells a panic in the log, as everything else that a replica has to say, rather than in the form
/// of a program that crashed: an engine that panics over a damaged file is caught, and what follows
/// from it is told by whoever caught it.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let detail = info.payload_as_str().unwrap_or("no message").replace('\n', "; ");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%location, %detail, "an assertion failed");
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            for frame in backtrace.to_string().lines() {
                tracing::error!("{frame}");
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn levels_and_targets_with_levels_are_taken() {
        let good = [
            "off",
            "info",
            "WARN",
            "3",
            "info,openraft=debug",
            " folio=trace , warn ",
            "folio::api=debug",
            OF_REPLICAS,
        ];
        for good in good {
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn whatever_else_is_refused_with_the_part_that_is_wrong() {
        for (bad, part) in [
            ("inof", "\"inof\""),
            ("info,folio", "\"folio\""),
            ("info,folio=loud", "\"folio=loud\""),
            ("folio=", "\"folio=\""),
            ("=debug", "\"=debug\""),
            ("info,,warn", "\"\""),
            ("info;debug", "\"info;debug\""),
            ("fo lio=debug", "\"fo lio=debug\""),
        ] {
            let problem = filter(bad).unwrap_err();
            assert!(problem.contains(&format!("{part} is neither a level nor")), "{bad}: {problem}");
        }
    }
}
