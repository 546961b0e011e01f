//! Runner.

fn main() {}
