//! Registers an asset. A registered code is answered again if the scale is the same, else `ASSET_EXISTS_DIFFERENT`.

use alloc::vec;
use core::fmt::Debug;

use crate::apply::Decision;
use crate::asset::{Asset, AssetNumber};
use crate::command::RegisterAsset;
use crate::journal::Event;
use crate::outcome::{Accepted, Rejection};
use crate::records::{Records, Stop};
use crate::working::{Context, Step, Working};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    register: &RegisterAsset,
) -> Step<Decision, E> {
    if let Some(asset) = working.asset_by_code(&register.code).map_err(Stop::Records)? {
        if asset.scale != register.scale {
            return Err(Rejection::AssetExistsDifferent(vec!["scale".into()]).into());
        }
        let first = working.known_record(asset.registered)?;
        let accepted = Accepted::AssetRegistered(asset.number);
        return Ok(Decision::repeated(accepted, Some(asset.registered), first.point));
    }
    let number = AssetNumber(working.head().assets);
    let event = Event::AssetRegistered { asset: number, code: register.code, scale: register.scale };
    let sequence = working.record(context, event);
    working.put_asset(Asset { number, code: register.code, scale: register.scale, registered: sequence });
    Ok(Decision::booked(Accepted::AssetRegistered(number), sequence))
}
