//! Whether this replica still leads, asked of the others past Raft's core, which may be at work on a long append while a read waits.
//!
//! A replica that helps another to the lead of a later term has stored its vote for it before. So as long as a majority, this replica among it, holds the vote for this one, no later
//! leader has been elected, and nobody has been answered by one: that is what Raft's heartbeats find out for a read (Ongaro, *Consensus: Bridging Theory and Practice*, section 6.4). It does
//! not matter what else the others have to do. Whether this replica was elected in the term at all is for Raft to say, and is asked of it first (`read.rs`).

use std::time::Duration;

use tokio::sync::mpsc;

use super::Vote;
use super::codec::{self, Malformed};
use super::identity::Identity;
use super::log::LogStore;
use super::network::AppendHeader;
use super::peers::Peers;
use crate::proto::internal as wire;

/// How long the others may take to answer; then Raft is asked, which knows how to wait.
const PATIENCE: Duration = Duration::from_millis(100);

/// What it takes to ask.
#[derive(Clone)]
pub(super) struct Leadership {
    own_id: u64,
    others: Vec<u64>,
    log: LogStore,
    peers: Peers,
}

impl Leadership {
    /// Of the replica whose log it is, among the members that the cluster was founded with.
    pub(super) fn new(identity: &Identity, log: LogStore, peers: Peers) -> Leadership {
        let ids = identity.members.iter().map(|member| member.replica_id);
        let others = ids.filter(|id| *id != identity.replica_id).collect();
        Leadership { own_id: identity.replica_id, others, log, peers }
    }

    /// This replica's vote, if it is for itself in that term.
    fn own_vote(&self, term: u64) -> Option<Vote> {
        let is_own = |vote: &Vote| vote.leader_id().term == term && vote.leader_id().node_id == self.own_id;
        self.log.vote().filter(is_own)
    }

    /// Whether this replica, which was elected in a term, leads still and has nobody to ask: it is the majority.
    pub(super) fn is_held_alone(&self, term: u64) -> bool {
        self.others.is_empty() && self.own_vote(term).is_some()
    }

    /// Whether this replica, which was elected in a term, certainly leads still. False may mean that the others did not answer in time.
    pub(super) async fn is_held(&self, term: u64) -> bool {
        let Some(vote) = self.own_vote(term) else { return false };
        let Ok(question) = question(self.peers.cluster_id(), vote) else { return false };
        let needed = self.others.len().div_ceil(2);
        let (sender, mut answers) = mpsc::channel(self.others.len().max(1));
        for other in self.others.iter().copied() {
            let (peers, question, sender) = (self.peers.clone(), question.clone(), sender.clone());
            // On its own, so that the stream to one that answers late is kept.
            tokio::spawn(async move {
                let asking = tokio::time::timeout(PATIENCE, peers.append(other, question));
                if let Ok(Ok(payload)) = asking.await
                    && codec::decode("whether a vote is held", &payload).is_ok_and(|is_held: bool| is_held)
                {
                    // Whoever asked may have heard enough.
                    let _ = sender.try_send(());
                }
            });
        }
        drop(sender);
        for _ in 0..needed {
            if answers.recv().await.is_none() {
                return false;
            }
        }
        true
    }

    /// Whether this replica's vote is this one: it has helped nobody to the lead of a later term.
    pub(super) fn holds(&self, vote: &Vote) -> bool {
        self.log.vote().is_some_and(|own| own.leader_id() == vote.leader_id())
    }
}

fn question(cluster_id: &str, vote: Vote) -> Result<wire::AppendEntriesRequest, Malformed> {
    let header = codec::encode(&AppendHeader { vote, previous: None, leader_commit: None })?;
    let cluster_id = cluster_id.to_owned();
    Ok(wire::AppendEntriesRequest { cluster_id, header: header.into(), entries: Vec::new(), only_asks: true })
}
