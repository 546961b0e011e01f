//! A run: clients and nemesis at once, then healing, resolving what had no answer, dumping every replica, and the verdict.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use folio::proto::v1;
use folio::proto::v1::audit_service_client::AuditServiceClient;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use folio_checker::history::{
    Call, Completion, History, Id, JournalEvent, JournalPosting, JournalRecord, LogPoint, Operation, OperationClass,
    Place, Plan, ReplicaDump,
};
use folio_checker::{Demands, Verdict};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::RunArguments;
use crate::cluster::{Cluster, Failure};
use crate::nemesis::{self, Fault, Surroundings};
use crate::report;
use crate::tell::tell;
use crate::wire;
use crate::workload::{self, Shared};

const CALL_TIMEOUT: Duration = Duration::from_secs(3);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
const LEADER_BOUND: Duration = Duration::from_secs(30);
const SETTLE_BOUND: Duration = Duration::from_secs(60);
/// The nemesis is at work at least once in so many seconds; it takes half as long for an event, pauses before and after it included.
const SECONDS_PER_EVENT: u64 = 15;
/// Longer than any hold of the workload lasts.
const LAST_HOLD: Duration = Duration::from_millis(2_500);

/// What all clients share.
struct Recorder {
    begun: Instant,
    operations: Mutex<Vec<Operation>>,
    next_process: AtomicU64,
    unanswered: Arc<AtomicU64>,
    last_index: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Recorder {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn fresh_process(&self) -> u32 {
        u32::try_from(self.next_process.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Makes a call as `process` and records it. Returns the process under which the client goes on.
    async fn perform(&self, cluster: &Cluster, replica: usize, process: u32, call: Call, timeout: Duration) -> u32 {
        let invoked_ns = self.now_ns();
        let completion = match wire::perform(cluster.channel(replica), &call, timeout).await {
            Ok(completion) => completion,
            Err(violation) => {
                self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(violation.clone());
                Completion::Unknown(violation)
            }
        };
        let next = match &completion {
            Completion::Unknown(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                self.fresh_process()
            }
            Completion::Answered(answer) => {
                self.last_index.fetch_max(answer.at.place.index, Ordering::Relaxed);
                process
            }
            Completion::Batch(_) | Completion::Atomic(_) | Completion::Read(_) | Completion::NotProposed { .. } => {
                process
            }
        };
        let operation = Operation { process, invoked_ns, completed_ns: self.now_ns(), call, completion };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        next
    }
}

fn default_binary() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("folio");
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(format!(
            "{} is not there; build it with `cargo build --release --workspace`, or name one with --folio",
            beside.display()
        )
        .into())
    }
}

/// Runs and checks; whether the history is valid.
pub(crate) fn run(arguments: &RunArguments) -> Result<bool, Failure> {
    let binary = arguments.folio.clone().map_or_else(default_binary, Ok)?;
    let (history, verdict, violations) = record_and_check(arguments, &binary, None)?;
    report::summary(&history);
    tell(format_args!(
        "{} operations, {} faults, seed {}, history in {}",
        history.operations.len(),
        history.nemesis.len(),
        arguments.seed,
        arguments.history.display()
    ));
    for violation in &violations {
        tell(format_args!("an answer broke the protocol: {violation}"));
    }
    tell(verdict.text(&history));
    Ok(verdict.is_valid() && violations.is_empty())
}

/// Runs, writes the history and checks it: with what it comes to, and with what broke the protocol itself.
pub(crate) fn record_and_check(
    arguments: &RunArguments,
    binary: &Path,
    seeded_bug: Option<&'static str>,
) -> Result<(History, Verdict, Vec<String>), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let plan = plan(arguments)?;
    // Written before anything is done, so that a run that is broken off leaves a history which is seen to be incomplete.
    std::fs::write(&arguments.history, folio_checker::history::write_plan(&plan))?;
    let (history, violations) = runtime.block_on(record(arguments, binary, seeded_bug))?;
    let text = folio_checker::history::write_edn(&History { plan: Some(plan), ..history });
    std::fs::write(&arguments.history, &text)?;
    // What is judged is what was written.
    let history = folio_checker::history::read_edn(&text)?;
    let verdict = folio_checker::check_run(&history);
    Ok((history, verdict, violations))
}

/// Checks a history that was written before.
pub(crate) fn check_file(path: &Path, without_plan: bool) -> Result<bool, Failure> {
    let text = std::fs::read_to_string(path)?;
    let history = folio_checker::history::read_edn(&text)?;
    let verdict = if without_plan {
        if history.plan.is_some() || !history.defects.is_empty() {
            return Err("this history was recorded by a run; check it without --without-plan".into());
        }
        folio_checker::check(&history, &Demands::default())
    } else {
        folio_checker::check_run(&history)
    };
    report::summary(&history);
    tell(verdict.text(&history));
    Ok(verdict.is_valid())
}

/// What a run must show: every class of operation, every fault that was asked for, a dump of every replica with its journal, and so many
/// answers that a run which hardly did anything is seen. The least numbers are far below what a slow machine does.
fn plan(arguments: &RunArguments) -> Result<Plan, Failure> {
    let faults: std::collections::BTreeMap<String, u64> =
        arguments.nemesis.iter().filter_map(|fault| fault.word()).map(|word| (word.to_owned(), 1)).collect();
    let events =
        if faults.is_empty() { 0 } else { u64::try_from(faults.len())?.max(arguments.seconds / SECONDS_PER_EVENT) };
    Ok(Plan {
        replicas: u32::try_from(arguments.replicas)?,
        clients: arguments.clients,
        seconds: arguments.seconds,
        seed: arguments.seed,
        events: if arguments.nemesis.contains(&Fault::None) { u64::try_from(faults.len())? } else { events },
        faults,
        classes: OperationClass::ALL.iter().map(|(class, _)| *class).collect(),
        commands: arguments.seconds * 2,
        reads: arguments.seconds.div_ceil(2),
        dumps: true,
        journals: true,
    })
}

async fn record(
    arguments: &RunArguments,
    binary: &Path,
    seeded_bug: Option<&'static str>,
) -> Result<(History, Vec<String>), Failure> {
    let cluster = Arc::new(Cluster::start(binary, arguments.replicas, seeded_bug)?);
    tell(format_args!("seed {}: {} replicas in {}", arguments.seed, cluster.count(), cluster.folder().display()));
    let leader = cluster.wait_for_leader(LEADER_BOUND).await?;
    let recorder = Arc::new(Recorder {
        begun: Instant::now(),
        operations: Mutex::default(),
        next_process: AtomicU64::new(u64::from(arguments.clients) + 1),
        unanswered: Arc::default(),
        last_index: AtomicU64::new(0),
        violations: Mutex::default(),
    });
    let mut random = StdRng::seed_from_u64(arguments.seed);
    for write in workload::setup(&mut random) {
        recorder.perform(&cluster, leader, 0, Call::Write(write), RESOLVE_TIMEOUT).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let surroundings = Surroundings {
        cluster: Arc::clone(&cluster),
        begun: recorder.begun,
        is_over: Arc::clone(&is_over),
        unanswered: Arc::clone(&recorder.unanswered),
    };
    let torment = tokio::spawn(nemesis::torment(surroundings, arguments.nemesis.clone(), arguments.seed));
    let shared = Arc::new(Shared::default());
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..arguments.clients {
        let (recorder, cluster, shared) = (Arc::clone(&recorder), Arc::clone(&cluster), Arc::clone(&shared));
        let (is_over, seed) =
            (Arc::clone(&is_over), arguments.seed.wrapping_mul(1_000).wrapping_add(u64::from(number)));
        clients.spawn(async move { client(&recorder, &cluster, &shared, &is_over, number + 1, seed).await });
    }
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    is_over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let nemesis = torment.await??;
    let settled = settle(&recorder, &cluster).await;
    let mut violations = std::mem::take(&mut *recorder.violations.lock().unwrap_or_else(PoisonError::into_inner));
    violations.extend(cluster.ended());
    let dumps = match settled {
        Ok(dumps) => dumps,
        Err(error) => {
            violations.push(format!("the replicas did not come to rest: {error}"));
            Vec::new()
        }
    };
    let operations = std::mem::take(&mut *recorder.operations.lock().unwrap_or_else(PoisonError::into_inner));
    if !violations.is_empty()
        && let Ok(cluster) = Arc::try_unwrap(cluster)
    {
        tell(format_args!("logs are kept in {}", cluster.keep().display()));
    }
    Ok((History { operations, nemesis, dumps, ..History::default() }, violations))
}

/// Has every call answered, and dumps what all replicas then hold.
async fn settle(recorder: &Recorder, cluster: &Cluster) -> Result<Vec<ReplicaDump>, Failure> {
    cluster.wait_for_leader(LEADER_BOUND).await?;
    resolve(recorder, cluster).await?;
    tokio::time::sleep(LAST_HOLD).await;
    dump_all(cluster).await
}

/// One client: an operation at a time, at any replica.
async fn client(recorder: &Recorder, cluster: &Cluster, shared: &Shared, is_over: &AtomicBool, number: u32, seed: u64) {
    use rand::Rng as _;
    let mut random = StdRng::seed_from_u64(seed);
    let mut process = number;
    while !is_over.load(Ordering::Relaxed) {
        let call = workload::next(shared, &mut random, recorder.last_index.load(Ordering::Relaxed));
        let replica = random.random_range(0..cluster.count());
        let before = process;
        process = recorder.perform(cluster, replica, process, call, CALL_TIMEOUT).await;
        let pause_ms = if process == before { random.random_range(0..8) } else { 50 };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Repeats every write that had no answer, until it has one.
async fn resolve(recorder: &Recorder, cluster: &Cluster) -> Result<(), Failure> {
    let unresolved: Vec<Call> = {
        let operations = recorder.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let open = operations.iter().filter(|operation| {
            matches!(operation.completion, Completion::Unknown(_)) && !matches!(operation.call, Call::Read(_))
        });
        open.map(|operation| operation.call.clone()).collect()
    };
    tell(format_args!("resolving {} calls that had no answer", unresolved.len()));
    for call in unresolved {
        let begun = Instant::now();
        loop {
            let leader = cluster.wait_for_leader(LEADER_BOUND).await?;
            let process = recorder.fresh_process();
            if recorder.perform(cluster, leader, process, call.clone(), RESOLVE_TIMEOUT).await == process {
                break;
            }
            if begun.elapsed() > SETTLE_BOUND {
                return Err("a call had no answer even after all faults were healed".into());
            }
        }
    }
    Ok(())
}

/// Dumps every replica once all have applied the same index.
async fn dump_all(cluster: &Cluster) -> Result<Vec<ReplicaDump>, Failure> {
    let begun = Instant::now();
    loop {
        let mut dumps = Vec::new();
        for position in 0..cluster.count() {
            match dump(cluster, position).await {
                Ok(Some(dump)) => dumps.push(dump),
                Ok(None) => {}
                Err(error) if begun.elapsed() > SETTLE_BOUND => return Err(error),
                Err(_) => {}
            }
        }
        let is_settled = dumps.len() == cluster.count()
            && dumps.windows(2).all(|pair| matches!(pair, [left, right] if left.index == right.index));
        if is_settled {
            return Ok(dumps);
        }
        if begun.elapsed() > SETTLE_BOUND {
            return Err("the replicas did not come to one index after all faults were healed".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The book of one replica; `None` if it moved while it was read.
async fn dump(cluster: &Cluster, position: usize) -> Result<Option<ReplicaDump>, Failure> {
    let stale = Some(v1::ReadOptions { consistency: Some(v1::read_options::Consistency::Stale(true)) });
    let status = cluster.status(position).await.ok_or("a replica does not answer")?;
    let applied = status.applied.unwrap_or_default();
    let mut ledger = LedgerServiceClient::new(cluster.channel(position));
    let mut accounts = std::collections::BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let message = v1::ListAccountsRequest { read: stale, page_size: 1000, page_token, ..Default::default() };
        let listed = ledger.list_accounts(message).await?.into_inner();
        if listed.read_point.as_ref().map(|point| point.log_index) != Some(applied.log_index) {
            return Ok(None);
        }
        for account in &listed.accounts {
            accounts.insert(account.name.clone(), wire::account(account)?);
        }
        page_token = listed.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut audit = AuditServiceClient::new(cluster.channel(position));
    let message = v1::StreamJournalRequest { from_sequence: 1, follow: false, read: stale, limit: 0 };
    let mut stream = audit.stream_journal(message).await?.into_inner();
    let mut journal = Vec::new();
    while let Some(chunk) = stream.message().await? {
        for record in &chunk.records {
            journal.push(journal_record(record)?);
        }
    }
    let time = applied.log_time.unwrap_or_default();
    Ok(Some(ReplicaDump {
        replica: u32::try_from(position + 1)?,
        index: applied.log_index,
        time_ns: u64::try_from(time.seconds)? * 1_000_000_000 + u64::try_from(time.nanos)?,
        state_hash: status.state_hash,
        journal_sequence: status.journal_sequence,
        accounts,
        journal,
    }))
}

fn journal_record(record: &v1::JournalRecord) -> Result<JournalRecord, Failure> {
    let at = record.at.unwrap_or_default();
    let time = at.log_time.unwrap_or_default();
    let mut postings = Vec::new();
    for posting in &record.postings {
        postings.push(JournalPosting {
            account: posting.account.clone(),
            side: wire::side_of(posting.side())?,
            amount: wire::minor(&posting.amount)?,
            totals: wire::totals(posting.totals.as_ref())?,
        });
    }
    let transaction = match record.transaction_id.as_str() {
        "" => None,
        text => Some(text.parse::<Id>()?),
    };
    Ok(JournalRecord {
        sequence: record.sequence,
        at: LogPoint {
            place: Place { index: at.log_index, position: at.position },
            time_ns: u64::try_from(time.seconds)? * 1_000_000_000 + u64::try_from(time.nanos)?,
        },
        event: JournalEvent::parse(&record.event).ok_or_else(|| format!("unknown event {:?}", record.event))?,
        transaction,
        subject: (!record.subject.is_empty()).then(|| record.subject.clone()),
        postings,
    })
}
