//! The built shell: bytes embedded in release builds, read from the disk in debug builds. Must not know what is in them.

use http::{HeaderValue, Response, header};
use http_body_util::Full;
use rpc::Body;
use rust_embed::Embed;

/// What the shell's build leaves in `runtime/dist`.
#[derive(Embed)]
#[folder = "../runtime/dist"]
#[allow_missing = true]
struct Dist;

/// Names of these files change with their content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A file below `/shell/`.
pub(crate) fn find(path: &str) -> Option<Response<Body>> {
    let path = path.strip_prefix('/').filter(|path| path.starts_with("shell/") && !path.contains(".."))?;
    let file = Dist::get(path)?;
    let kind = file.metadata.mimetype();
    let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    let mut response = Response::new(Body::new(Full::new(file.data.into_owned().into())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).ok()?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    Some(response)
}

/// The shell's document, if the shell was built.
pub(crate) fn document() -> Option<String> {
    String::from_utf8(Dist::get("index.html")?.data.into_owned()).ok()
}
