//! Checks that every request goes through before its handler sees it: AIP-203 field behaviour, page sizes, request ids.

use crate::wkt::FieldMask;

/// Largest page; larger wishes are cut to it.
const MAX_PAGE_SIZE: i32 = 1_000;

/// A message that can be asked with. Implemented for every message of ours.
pub trait Ask {
    /// Clears what only the server may set, cuts page sizes, and collects everything that is wrong. With `partial`
    /// (below an update mask) absent fields are no fault.
    fn settle(&mut self, faults: &mut Faults, partial: bool);
}

/// What is wrong with a request: field paths in proto spelling, each with what is wrong there.
#[derive(Debug, Default)]
pub struct Faults {
    prefix: String,
    found: Vec<(String, &'static str)>,
}

impl Faults {
    /// Notes one fault of a field.
    pub fn add(&mut self, field: &str, fault: &'static str) {
        self.found.push((format!("{}{field}", self.prefix), fault));
    }

    /// Checks below a field.
    pub fn below(&mut self, field: &str, check: impl FnOnce(&mut Self)) {
        let depth = self.prefix.len();
        self.prefix.push_str(field);
        self.prefix.push('.');
        check(self);
        self.prefix.truncate(depth);
    }

    /// All faults, in the order of the fields.
    pub fn into_vec(self) -> Vec<(String, &'static str)> {
        self.found
    }
}

pub(crate) fn page_size(size: &mut i32, faults: &mut Faults) {
    if *size < 0 {
        faults.add("page_size", "must not be negative");
    }
    *size = (*size).min(MAX_PAGE_SIZE);
}

pub(crate) fn request_id(id: &str, faults: &mut Faults) {
    if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        faults.add("request_id", "must be 1 to 64 printable ASCII characters without spaces");
    }
}

pub(crate) fn mask(mask: &Option<FieldMask>, fixed: &[&str], faults: &mut Faults) {
    let Some(mask) = mask.as_ref().filter(|mask| !mask.paths.is_empty()) else {
        return faults.add("update_mask", "must name at least one field");
    };
    let is_fixed = |path: &String| fixed.iter().any(|field| path.split('.').next() == Some(*field));
    if mask.paths.iter().any(is_fixed) {
        faults.add("update_mask", "names a field that never changes");
    }
}
