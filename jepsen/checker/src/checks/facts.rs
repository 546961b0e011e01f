//! What the accepted answers say about assets and accounts, gathered once: scales, holdings, classes, floors over time.

use std::collections::HashMap;

use crate::history::{AccountClass, Command, FloorText, Id, Place, Write};
use crate::model::amount;
use crate::timeline::{Booked, Timeline};

/// What is known of an account.
pub(super) struct AccountFacts<'history> {
    pub(super) asset: &'history str,
    pub(super) class: AccountClass,
    /// Floors in minor units (none: unlimited), each with the place from which on it stands.
    pub(super) floors: Vec<(Place, Option<i128>)>,
    /// Ceilings in minor units, likewise.
    pub(super) ceilings: Vec<(Place, Option<u128>)>,
}

/// What is known.
pub(super) struct Facts<'history> {
    pub(super) scales: HashMap<&'history str, u32>,
    pub(super) accounts: HashMap<&'history str, AccountFacts<'history>>,
    pub(super) booked: Vec<Booked<'history>>,
    /// The accepted Post, Try or Reverse that made a transaction.
    pub(super) makers: HashMap<Id, &'history Write>,
}

fn floor_units(floor: Option<&FloorText>, scale: u32) -> Option<i128> {
    match floor {
        None => Some(0),
        Some(FloorText::Unlimited) => None,
        Some(FloorText::AtLeast(text)) => {
            let (negative, written) = amount::parse_signed(text)?;
            let size = i128::try_from(written.at_scale(scale).ok()?).ok()?;
            Some(if negative { -size } else { size })
        }
    }
}

fn units(text: &str, scale: u32) -> Option<u128> {
    amount::parse(text)?.at_scale(scale).ok()
}

impl<'history> Facts<'history> {
    /// Gathers them.
    pub(super) fn new(timeline: &Timeline<'history>) -> Facts<'history> {
        let booked = timeline.booked();
        let mut facts =
            Facts { scales: HashMap::new(), accounts: HashMap::new(), booked: Vec::new(), makers: HashMap::new() };
        for one in &booked {
            facts.add(one);
        }
        facts.booked = booked;
        facts
    }

    fn add(&mut self, one: &Booked<'history>) {
        let place = one.at.place;
        match &one.write.command {
            Command::RegisterAsset { code, scale } => {
                self.scales.insert(code, *scale);
            }
            Command::OpenAccount { name, asset, class, floor, ceiling, metadata: _ } => {
                let scale = self.scales.get(asset.as_str()).copied().unwrap_or_default();
                self.accounts.entry(name).or_insert_with(|| AccountFacts {
                    asset,
                    class: *class,
                    floors: vec![(place, floor_units(floor.as_ref(), scale))],
                    ceilings: vec![(place, ceiling.as_deref().and_then(|text| units(text, scale)))],
                });
            }
            Command::SetLimits { account, floor, ceiling } => {
                let Some(facts) = self.accounts.get_mut(account.as_str()) else {
                    return;
                };
                let scale = self.scales.get(facts.asset).copied().unwrap_or_default();
                if floor.is_some() {
                    facts.floors.push((place, floor_units(floor.as_ref(), scale)));
                }
                match ceiling {
                    crate::history::CeilingChange::Keep => {}
                    crate::history::CeilingChange::Set(text) => facts.ceilings.push((place, units(text, scale))),
                    crate::history::CeilingChange::Remove => facts.ceilings.push((place, None)),
                }
            }
            Command::Post { .. } | Command::Try { .. } | Command::Reverse { .. } => {
                self.makers.entry(one.write.transaction().unwrap_or(one.write.request_id)).or_insert(one.write);
            }
            Command::Freeze { .. }
            | Command::Unfreeze { .. }
            | Command::Close { .. }
            | Command::Confirm { .. }
            | Command::Cancel { .. } => {}
        }
    }

    /// The minor units of a posting's amount; none if its account or asset is not known.
    pub(super) fn units_on(&self, account: &str, text: &str) -> Option<u128> {
        units(text, *self.scales.get(self.accounts.get(account)?.asset)?)
    }
}
