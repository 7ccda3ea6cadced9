//! The document that starts the shell: the built page, the bootstrap data in it, the headers that bound what it may do.

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use rpc::Body;
use serde_json::Value;

use crate::assets;

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Where the data goes: the page's own mark, or the end of its head.
const MARKS: [&str; 2] = ["<!--bootstrap-->", "</head>"];

const MISSING: &str = "<!doctype html>\n<html lang=\"en\">\n<title>Mozaiks</title>\n<h1>The shell is not built</h1>\n\
                       <p>Run <code>npm ci &amp;&amp; npm run build</code> in the repository, then build the server again. \
                       The API answers already.</p>\n</html>\n";

/// The data block of the document as each listener serves it.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    public: String,
    admin: String,
}

impl Bootstrap {
    /// `admin` is ours to say, whatever the settings hold: true on the admin listener, absent elsewhere.
    pub(crate) fn of(mut data: Value) -> Self {
        let mut told = |is_admin: bool| {
            if let Some(fields) = data.as_object_mut() {
                fields.remove("admin");
                fields.extend(is_admin.then(|| ("admin".to_owned(), Value::Bool(true))));
            }
            block(&data)
        };
        Self { public: told(false), admin: told(true) }
    }

    pub(crate) fn on(&self, is_admin: bool) -> &str {
        if is_admin { &self.admin } else { &self.public }
    }
}

/// `<` is escaped, so that no text in the data can end the block.
fn block(data: &Value) -> String {
    format!("<script type=\"application/json\" id=\"bootstrap\">{}</script>", data.to_string().replace('<', "\\u003c"))
}

/// The document, or a page that says how to build it.
pub(crate) fn document(bootstrap: &str) -> Response<Body> {
    let page = assets::document().and_then(|page| fill(&page, bootstrap));
    let status = if page.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = Response::new(Body::new(Full::new(page.unwrap_or_else(|| MISSING.to_owned()).into())));
    *response.status_mut() = status;
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn fill(page: &str, bootstrap: &str) -> Option<String> {
    let at = MARKS.iter().find_map(|mark| page.find(mark))?;
    Some([&page[..at], bootstrap, &page[at..]].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn admin_is_said_to_the_admin_listener_alone() {
        let says = |data, is_admin| Bootstrap::of(data).on(is_admin).contains("\"admin\":true");
        for data in [json!({}), json!({ "app": "a" }), json!({ "admin": true }), json!({ "admin": false })] {
            assert_eq!((says(data.clone(), false), says(data.clone(), true)), (false, true), "{data}");
        }
        assert_eq!(Bootstrap::of(json!("data")).on(true), block(&json!("data")));
    }

    #[test]
    fn data_cannot_leave_its_block() {
        let block = block(&json!({ "app": "</script><script>alert(1)</script><!--" }));
        assert_eq!((block.matches('<').count(), block.matches("</script>").count()), (2, 1));
    }

    #[test]
    fn data_stands_at_the_mark_or_at_the_end_of_the_head() {
        assert_eq!(fill("<head><!--bootstrap--><a></head>", "B").unwrap(), "<head>B<!--bootstrap--><a></head>");
        assert_eq!(fill("<head></head>", "B").unwrap(), "<head>B</head>");
        assert_eq!(fill("", "B"), None);
    }
}
