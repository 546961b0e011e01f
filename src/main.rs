//! The one binary: `folio`.

fn main() {}
