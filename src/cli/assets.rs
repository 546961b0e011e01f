//! `folio asset`.

use serde_json::json;

use super::args::AssetVerb;
use super::context::{Context, Ledger, RequestId};
use super::{CliResult, output};
use crate::proto::v1;

pub(super) async fn run(context: &Context, verb: AssetVerb) -> CliResult {
    match verb {
        AssetVerb::Register { code, scale, request } => {
            let id = RequestId::of(request);
            let message = v1::RegisterAssetRequest { request_id: id.text(), code, scale };
            let result =
                |reply: v1::RegisterAssetResponse| v1::CommandResult { decision: reply.decision, ..Default::default() };
            let call = |mut client: Ledger, message| async move { client.register_asset(message).await };
            context.change(id, message, call, result).await
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
