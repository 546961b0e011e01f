//! The one binary: `folio`.

fn main() -> std::process::ExitCode {
    folio::cli::main()
}
