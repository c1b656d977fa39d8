//! The whole configuration as a body that is written while it is read: of a hundred megabytes only the part under way is in
//! memory, and whoever reads slowly holds nothing but the configuration itself, which is shared.

use std::{
    convert::Infallible,
    ops::Bound,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use hyper::body::Frame;
use serde_json::json;
use weir_shared::{id::UpstreamId, model::Config};

use super::{
    accept::Format,
    config::View,
    problem::{Code, Problem},
};
use crate::yaml;

/// Least size of a part; one upstream is not divided.
const PART: usize = 64 * 1024;

/// `config` in the form `format`, where `head` is all of it but its upstreams.
///
/// # Errors
/// When `head` cannot be written.
pub(super) fn response(head: View, config: Arc<Config>, format: Format) -> Result<Response, Problem> {
    let mut export = Export { text: opening(&head, format)?, config, format, last: Progress::Begun };
    let kind = match format {
        Format::Json => "application/json",
        Format::Yaml => "application/yaml",
    };
    export.fill();
    // What is small is sent with its length.
    let body = match export.last {
        Progress::Ended => Body::from(export.text),
        Progress::Begun | Progress::After(_) => Body::new(export),
    };
    let mut response = body.into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The document up to its upstreams, which come last.
fn opening(head: &View, format: Format) -> Result<String, Problem> {
    let fault = |error| {
        tracing::error!(%error, "an answer cannot be written");
        Problem::new(Code::Internal, "The answer cannot be written.")
    };
    let mut text = match format {
        Format::Json => serde_json::to_string(head).map_err(fault)?,
        Format::Yaml => yaml::text(&serde_json::to_value(head).map_err(fault)?),
    };
    let close = match format {
        Format::Json => "]}",
        Format::Yaml => " []\n",
    };
    text.truncate(text.strip_suffix(close).map_or(text.len(), str::len));
    Ok(text)
}

/// How far the upstreams are written.
enum Progress {
    Begun,
    After(UpstreamId),
    Ended,
}

/// A configuration being written.
struct Export {
    config: Arc<Config>,
    format: Format,
    /// What is to be sent next.
    text: String,
    last: Progress,
}

impl Export {
    /// Writes the next part.
    fn fill(&mut self) {
        while self.text.len() < PART {
            let after = match &self.last {
                Progress::Begun => Bound::Unbounded,
                Progress::After(id) => Bound::Excluded(id),
                Progress::Ended => return,
            };
            let is_first = matches!(after, Bound::Unbounded);
            let next = self.config.upstreams.range::<UpstreamId, _>((after, Bound::Unbounded)).next();
            let Some((id, record)) = next else {
                self.text.push_str(match self.format {
                    Format::Json => "]}",
                    Format::Yaml if is_first => " []\n",
                    Format::Yaml => "",
                });
                self.last = Progress::Ended;
                return;
            };
            // Model types are always writable.
            let upstream = record.to_model();
            match self.format {
                Format::Json => {
                    self.text.push_str(if is_first { "" } else { "," });
                    self.text.push_str(&serde_json::to_string(&upstream).unwrap_or_default());
                }
                Format::Yaml => {
                    let alone = yaml::text(&json!({ "upstreams": [upstream] }));
                    let item = alone.strip_prefix("upstreams:").unwrap_or(&alone);
                    self.text.push_str(if is_first { item } else { item.trim_start_matches('\n') });
                }
            }
            self.last = Progress::After(id.clone());
        }
    }
}

impl HttpBody for Export {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.text.is_empty() {
            self.fill();
        }
        let text = std::mem::take(&mut self.text);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }
}
