//! A stock client in another language calls the API. Where Python or its packages cannot be had, the test says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Replica;

/// Runs a command; what it printed where it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
}

/// A Python with the packages that the script needs, kept in the target folder between runs.
fn python(scripts: &Path) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python");
    let can_import = |python: &Path| {
        run(Command::new(python).args(["-c", "import grpc, grpc_tools, grpc_status, grpc_reflection"])).is_ok()
    };
    if !can_import(&python) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let requirements = scripts.join("requirements.txt");
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "30", "-r"])
            .arg(requirements))?;
    }
    Ok(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_tries_confirms_repeats_and_reads_error_details() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("tests/python");
    let python = match python(&scripts) {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("SKIPPED: no Python with gRPC here: {reason}");
            return;
        }
    };
    let replica = Replica::start().await;
    let mut script = Command::new(python);
    script
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(scripts.join("payments.py"))
        .arg(&replica.address)
        .arg(root.join("proto"));
    let printed = tokio::task::spawn_blocking(move || run(&mut script)).await.unwrap();
    assert_eq!(printed.as_deref().map(str::trim), Ok("passed"));
}
