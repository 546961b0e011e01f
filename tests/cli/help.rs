//! What the program tells of itself without a cluster.

use super::harness::{folio, program};

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A name stands two blanks in; what is further in goes on with a description.
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// All commands, with those that only hold others.
fn all(command: &[String], found: &mut Vec<Vec<String>>) {
    let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
    args.push("--help");
    let help = folio(&args).expect(0).stdout;
    for name in listed(&help) {
        let inner = [command, &[name]].concat();
        found.push(inner.clone());
        all(&inner, found);
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let mut found = vec![vec![]];
    all(&[], &mut found);
    for wanted in ["demo", "serve", "status", "asset register", "account set-limits", "transfer", "tx confirm"] {
        assert!(found.iter().any(|command| command.join(" ") == wanted), "{wanted} is missing: {found:?}");
    }
    for wanted in ["request show", "balance", "statement", "trial-balance", "journal", "import", "bench", "completions"]
    {
        assert!(found.iter().any(|command| command.join(" ") == wanted), "{wanted} is missing: {found:?}");
    }
    for command in &found {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let ran = folio(&args).expect(0);
        assert_eq!(ran.stderr, "", "{command:?}");
        let example = ran.stdout.split("Example").nth(1).unwrap_or_else(|| panic!("no example for {command:?}"));
        let whole = format!("folio {}", command.join(" "));
        assert!(example.contains(whole.trim_end()), "the example for {command:?} does not show it: {example}");
    }
}

#[test]
fn usage_errors_end_with_code_2_and_say_what_to_mend() {
    for (args, says) in [
        (&["no-such-command"][..], "no-such-command"),
        (&["transfer", "--debit", "a"], "--credit"),
        (&["status", "--timeout", "10"], "is not a length of time"),
        (&["status", "--consistency", "quick"], "use linearizable, stale or at-least=INDEX"),
        (&["status", "--endpoints", "not an address"], "is not host:port"),
        (&["status", "--endpoints", "127.0.0.1"], "it has no port"),
        (&["status", "--endpoints", "127.0.0.1:7001,"], "endpoint \"\" is not host:port"),
        (&["status", "--endpoints", "127.0.0.1:70001"], "from 1 to 65535"),
        (&["status", "--endpoints", "http://127.0.0.1:7001"], "its host is not a name or an address"),
        (&["status", "--timeout", "213503982334d"], "is more than a day"),
        (&["bench", "--duration", "213503982334d"], "is more than a day"),
        (&["tx", "post", "--debit", "a", "--credit", "b=1"], "is not ACCOUNT=AMOUNT"),
        (&["balance", "a", "--at", "yesterday"], "is not a time"),
        (&["balance", "a", "--at", "2026-01-31", "--sequence", "1"], "cannot be used with"),
        (&["bench", "--batch", "8193"], "8193"),
        (&["completions", "cmd"], "cmd"),
        (&["tx", "list", "--limit", "0"], "0 is not in 1.."),
        (
            &["account", "open", "a", "--asset", "USD", "--class", "asset", "--metadata", "k=1", "--metadata", "k=2"],
            "\"k\" twice",
        ),
        (
            &["transfer", "--debit", "a", "--credit", "b", "--amount", "1", "--metadata", "k=1", "--metadata", "k=1"],
            "\"k\" twice",
        ),
        (&["tx", "reverse", "17", "--metadata", "=1", "--metadata", "=2"], "\"\" twice"),
    ] {
        let ran = folio(args).expect(2).says(&[says]);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn options_that_all_commands_share_stand_behind_a_commands_own() {
    const SHARED: [&str; 6] = ["--endpoints", "--timeout", "--consistency", "--output", "--help", "--version"];
    let mut found = vec![vec![]];
    all(&[], &mut found);
    for command in &found {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = folio(&args).expect(0).stdout;
        let (own, shared) =
            help.split_once("\nOptions of every command:\n").unwrap_or_else(|| panic!("{command:?}: {help}"));
        // Where options begin; examples speak of all of them.
        let named = |part: &str, option: &str| {
            part.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with(option)
                    || line.split_once(", ").is_some_and(|(short, long)| short.len() == 2 && long.starts_with(option))
            })
        };
        for option in SHARED {
            assert!(named(shared, option) && !named(own, option), "{option} of {command:?}: {help}");
        }
        assert!(!shared.contains("\nOptions:\n"), "{command:?}: {help}");
    }
}

#[test]
fn a_bad_level_of_the_log_ends_every_command_and_is_named() {
    for (bad, part) in [("inof", "\"inof\""), ("info,openraft=loud", "\"openraft=loud\""), ("folio", "\"folio\"")] {
        for command in [&["status"][..], &["serve", "--data-dir", "/nonexistent/data"], &["completions", "bash"]] {
            let output = program().args(command).env("FOLIO_LOG", bad).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{bad} {command:?}: {said}");
            assert!(
                said.contains("FOLIO_LOG") && said.contains(part) && said.contains("TARGET=LEVEL"),
                "{bad}: {said}"
            );
        }
    }
    for good in ["", "off", "info,openraft=debug"] {
        let output = program().args(["completions", "bash"]).env("FOLIO_LOG", good).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{good}: {output:?}");
    }
    assert!(folio(&["--help"]).expect(0).stdout.contains("FOLIO_LOG"));
    assert!(folio(&["serve", "--help"]).expect(0).stdout.contains("FOLIO_LOG"));
}

#[test]
fn the_version_is_plain() {
    let ran = folio(&["--version"]).expect(0);
    assert_eq!(ran.stdout, format!("folio {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, mark) in [("bash", "complete -F _folio"), ("zsh", "#compdef folio"), ("fish", "complete -c folio")] {
        let ran = folio(&["completions", shell]).expect(0);
        assert_eq!(ran.stderr, "");
        assert!(ran.stdout.contains(mark), "{shell}: {mark}");
        assert!(ran.stdout.contains("trial-balance"), "{shell} completes commands");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &ran.stdout).unwrap();
        // The shell itself reads the script, where the machine has it.
        match std::process::Command::new(shell).arg("-n").arg(file.path()).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => println!("skipped: {shell} does not read its script: {error}"),
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = program().args(["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "{status}");
}
