//! Compiles the protos in pure Rust: no protoc on the machine is needed.

#![allow(clippy::print_stdout)] // This is how a build script talks to cargo.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/folio/v1/types.proto",
        "proto/folio/v1/ledger.proto",
        "proto/folio/v1/audit.proto",
        "proto/folio/v1/cluster.proto",
        "proto/folio/internal/raft.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let configured = tonic_prost_build::configure().bytes(".folio.internal");
    configured.codec_path("crate::proto::strict_codec::StrictCodec").compile_fds_with_config(descriptors, config)?;
    Ok(())
}
