//! `folio asset`.

use serde_json::json;

use super::args::AssetVerb;
use super::context::{Context, Ledger, RequestId};
use super::{CliResult, output};
use crate::client::Failure;
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
            let (assets, point) = all(context).await?;
            let rows = assets.iter().map(|asset| vec![asset.code.clone(), asset.scale.to_string()]).collect();
            let values: Vec<_> =
                assets.iter().map(|asset| json!({ "code": asset.code, "scale": asset.scale })).collect();
            let value = json!({ "read_point": output::read_point(point.as_ref()), "assets": values });
            output::rows(context.output, &["asset", "scale"], rows, &value)
        }
    }
}

/// All assets, page by page, and the point of the log that they show.
pub(super) async fn all(context: &Context) -> Result<(Vec<v1::Asset>, Option<v1::ReadPoint>), Failure> {
    let mut message = v1::ListAssetsRequest { read: context.read(), ..Default::default() };
    let mut assets = Vec::new();
    loop {
        let call = |mut client: Ledger, message| async move { client.list_assets(message).await };
        let reply = context.client.ledger_read(message.clone(), call).await?;
        assets.extend(reply.assets);
        message.page_token = reply.next_page_token;
        if message.page_token.is_empty() {
            return Ok((assets, reply.read_point));
        }
    }
}
