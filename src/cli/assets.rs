//! `folio asset`.

use serde_json::json;

use super::args::AssetVerb;
use super::context::{Context, request_id};
use super::{CliResult, output};
use crate::proto::v1;

pub(super) async fn run(context: &Context, verb: AssetVerb) -> CliResult {
    match verb {
        AssetVerb::Register { code, scale, request } => {
            let request_id = request_id(request);
            let message = v1::RegisterAssetRequest { request_id: request_id.clone(), code, scale };
            let reply = context
                .client
                .ledger(message, |mut client, message| async move { client.register_asset(message).await });
            let result = reply.await.map(|reply| v1::CommandResult { decision: reply.decision, ..Default::default() });
            context.decided(&request_id, result)
        }
        AssetVerb::List => {
            let message = v1::ListAssetsRequest { read: context.read() };
            let reply = context
                .client
                .ledger_read(message, |mut client, message| async move { client.list_assets(message).await })
                .await?;
            let rows = reply.assets.iter().map(|asset| vec![asset.code.clone(), asset.scale.to_string()]).collect();
            let assets: Vec<_> =
                reply.assets.iter().map(|asset| json!({ "code": asset.code, "scale": asset.scale })).collect();
            let value = json!({ "read_point": output::read_point(reply.read_point.as_ref()), "assets": assets });
            output::rows(context.output, &["asset", "scale"], rows, &value)
        }
    }
}
