//! Configuration of `folio serve`: flags over `FOLIO_*` variables over a TOML file. Unknown keys are errors.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Deserialize;

use crate::replication::identity::Member;
use crate::store::EngineKind;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not valid.
    #[error("the configuration file {} is not valid: {detail}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// A value is missing.
    #[error("{0} is missing: give it as a flag, a FOLIO_* variable or in the configuration file")]
    Missing(&'static str),
    /// A value is wrong.
    #[error("{what} is {value:?}: {problem}")]
    Wrong {
        /// Which value.
        what: &'static str,
        /// What it is.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Runs one replica.
///
/// Every flag may also stand in the configuration file, under the same name with `_` for `-`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:
  # A single replica: founded on its first start, opened on every later one
  folio serve --data-dir ./data --found

  # One of three
  folio serve --data-dir ./one --replica-id 1 --found \\
    --members 1=127.0.0.1:7101/127.0.0.1:7001,2=127.0.0.1:7102/127.0.0.1:7002,3=127.0.0.1:7103/127.0.0.1:7003

The log goes to standard error, and lines that cannot be written there are dropped and counted in \
`folio status`. FOLIO_LOG sets what is logged: a level (off, error, warn, info, debug, trace), or \
several parts such as info,openraft=debug.")]
pub struct ServeArgs {
    /// A TOML file with any of these settings; flags and variables are stronger.
    #[arg(long, env = "FOLIO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder that holds this replica's log and book.
    #[arg(long, env = "FOLIO_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// This replica's number, from 1 [default: 1].
    #[arg(long, env = "FOLIO_REPLICA_ID", value_name = "N")]
    pub replica_id: Option<u64>,
    /// All members, as founded: NUMBER=PEER_ADDRESS/CLIENT_ADDRESS, joined by commas [default: this replica alone, on 127.0.0.1:7101 and :7001].
    #[arg(long, env = "FOLIO_MEMBERS", value_name = "MEMBERS")]
    pub members: Option<String>,
    /// Founds the cluster if the folder is empty. Without it an empty folder is refused: it must not vote.
    #[arg(long, env = "FOLIO_FOUND", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub found: Option<bool>,
    /// The cluster's name, the same for all members [default: folio].
    #[arg(long, env = "FOLIO_CLUSTER", value_name = "NAME")]
    pub cluster: Option<String>,
    /// The storage engine of the book: fjall or sled [default: fjall].
    #[arg(long, env = "FOLIO_ENGINE", value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Allows listening on addresses other machines can reach. There is no TLS and no authentication yet: whoever reaches the port can move
    /// money and read the book.
    #[arg(long, env = "FOLIO_ALLOW_UNENCRYPTED_UNAUTHENTICATED_NETWORK", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub allow_unencrypted_unauthenticated_network: Option<bool>,
    /// After how many log entries a snapshot is taken and the log purged [default: 20000].
    #[arg(long, env = "FOLIO_SNAPSHOT_ENTRIES", value_name = "N")]
    pub snapshot_entries: Option<u64>,
}

/// The same settings in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    data_dir: Option<PathBuf>,
    replica_id: Option<u64>,
    members: Option<String>,
    found: Option<bool>,
    cluster: Option<String>,
    engine: Option<String>,
    allow_unencrypted_unauthenticated_network: Option<bool>,
    snapshot_entries: Option<u64>,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// This replica's number.
    pub replica_id: u64,
    /// All members.
    pub members: Vec<Member>,
    /// Whether an empty folder is founded.
    pub found: bool,
    /// The cluster's name.
    pub cluster: String,
    /// The book's engine.
    pub engine: EngineKind,
    /// After how many entries a snapshot is taken.
    pub snapshot_entries: u64,
}

/// Variables of the program that are no settings of a replica.
const OTHER_VARIABLES: [&str; 3] = ["FOLIO_ENDPOINTS", "FOLIO_LOG", "FOLIO_SEEDED_BUG"];
const DEFAULT_MEMBERS: &str = "1=127.0.0.1:7101/127.0.0.1:7001";
const MAX_MEMBERS: usize = 9;
const MAX_CLUSTER_BYTES: usize = 64;
const MIN_SNAPSHOT_ENTRIES: u64 = 16;

fn read_file(path: &Path) -> Result<FileConfig, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.to_owned(), detail: error.to_string() })
}

fn wrong(what: &'static str, value: impl ToString, problem: impl ToString) -> ConfigError {
    ConfigError::Wrong { what, value: value.to_string(), problem: problem.to_string() }
}

fn parse_members(text: &str) -> Result<Vec<Member>, ConfigError> {
    let (mut members, mut addresses) = (Vec::new(), BTreeSet::new());
    for part in text.split(',') {
        let parsed = part
            .split_once('=')
            .and_then(|(id, addresses)| Some((id.trim().parse::<u64>().ok()?, addresses.split_once('/')?)));
        let Some((replica_id, (peer, client))) = parsed else {
            return Err(wrong("members", part, "write NUMBER=PEER_ADDRESS/CLIENT_ADDRESS"));
        };
        if replica_id == 0 || members.iter().any(|member: &Member| member.replica_id == replica_id) {
            return Err(wrong("members", part, "numbers begin at 1 and stand once"));
        }
        for address in [peer, client] {
            let address =
                SocketAddr::from_str(address.trim()).map_err(|_| wrong("members", part, "an address is IP:PORT"))?;
            if address.port() == 0 {
                // The system would choose another at each start, and nobody would find the replica.
                return Err(wrong("members", part, "a port is 1 to 65535"));
            }
            if !addresses.insert(address) {
                return Err(wrong(
                    "members",
                    part,
                    format!("{address} stands twice; each address is one member's own"),
                ));
            }
        }
        members.push(Member {
            replica_id,
            peer_address: peer.trim().to_owned(),
            client_address: client.trim().to_owned(),
        });
    }
    if members.len() > MAX_MEMBERS {
        return Err(wrong("members", members.len(), format!("at most {MAX_MEMBERS} members are allowed")));
    }
    members.sort_by_key(|member| member.replica_id);
    Ok(members)
}

/// Refuses addresses that other machines can reach, unless that was allowed by name.
fn check_loopback(member: &Member, allowed: bool) -> Result<(), ConfigError> {
    for address in [&member.peer_address, &member.client_address] {
        let is_loopback = SocketAddr::from_str(address).is_ok_and(|address| address.ip().is_loopback());
        if !is_loopback && !allowed {
            return Err(wrong(
                "members",
                address,
                "there is no TLS yet, so only loopback addresses are served unless --allow-unencrypted-unauthenticated-network is given",
            ));
        }
    }
    Ok(())
}

/// Variables that begin as settings do but are none, of `names`: most likely misspelt. They are told rather than refused, because
/// some environments set variables of their own for a service called folio.
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = |name: &str| {
        let command = ServeArgs::augment_args(clap::Command::new("serve"));
        command.get_arguments().any(|argument| argument.get_env().is_some_and(|variable| variable == name))
            || OTHER_VARIABLES.contains(&name)
    };
    names.filter(|name| name.starts_with("FOLIO_") && !known(name)).collect()
}

impl Config {
    /// Merges and checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] says which setting is wrong and why.
    pub fn from_args(args: ServeArgs) -> Result<Config, ConfigError> {
        let file = args.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let replica_id = args.replica_id.or(file.replica_id).unwrap_or(1);
        let members = args.members.or(file.members).unwrap_or_else(|| DEFAULT_MEMBERS.to_owned());
        let members = parse_members(&members)?;
        let own = members
            .iter()
            .find(|member| member.replica_id == replica_id)
            .ok_or_else(|| wrong("replica-id", replica_id, "it is not among the members"))?;
        let allowed = args
            .allow_unencrypted_unauthenticated_network
            .or(file.allow_unencrypted_unauthenticated_network)
            .unwrap_or(false);
        check_loopback(own, allowed)?;
        let engine = args.engine.or(file.engine).unwrap_or_else(|| EngineKind::default().name().to_owned());
        let engine = match EngineKind::from_str(&engine) {
            Ok(EngineKind::Memory) => {
                return Err(wrong("engine", engine, "the memory engine keeps nothing; use fjall or sled"));
            }
            Ok(kind) => kind,
            Err(problem) => return Err(wrong("engine", engine, problem)),
        };
        let snapshot_entries = args.snapshot_entries.or(file.snapshot_entries).unwrap_or(20_000);
        if snapshot_entries < MIN_SNAPSHOT_ENTRIES {
            let problem = format!("at least {MIN_SNAPSHOT_ENTRIES} entries are needed");
            return Err(wrong("snapshot-entries", snapshot_entries, problem));
        }
        let cluster = args.cluster.or(file.cluster).unwrap_or_else(|| "folio".to_owned());
        if cluster.is_empty() || cluster.len() > MAX_CLUSTER_BYTES {
            return Err(wrong("cluster", cluster, format!("a name has 1 to {MAX_CLUSTER_BYTES} bytes")));
        }
        Ok(Config {
            data_dir: args.data_dir.or(file.data_dir).ok_or(ConfigError::Missing("data-dir"))?,
            replica_id,
            members,
            found: args.found.or(file.found).unwrap_or(false),
            cluster,
            engine,
            snapshot_entries,
        })
    }
}
