//! Who may call a method, in which tenant. First what the method alone decides, then the names, so that a foreign name
//! differs in nothing from an absent one.

use std::time::Duration;

use api::mozaiks::options::v1::{Access, Caller, Plane, Tenancy, Within};
use kernel::{Credential, Cx, Error, Name, Result, SubjectKind, Tenant, Time, Verified};

use crate::names::NameField;
use crate::schema::Method;

/// Lets a verified caller in. Errors: `PLANE_REFUSED`, `CALLER_REFUSED`, `PERMISSION_MISSING`, `STEP_UP_REQUIRED`.
pub(crate) fn admit(access: &Access, caller: (Verified, Credential), call_id: &str, now: Time) -> Result<Cx> {
    let (verified, credential) = caller;
    let subject = &verified.subject;
    if access.plane() == Plane::Operator && subject.home != Tenant::platform() {
        return Err(Error::forbidden("PLANE_REFUSED", "only operators of the installation may call this"));
    }
    match (access.caller(), subject.kind) {
        (Caller::User, SubjectKind::ServiceAccount) => return Err(Error::forbidden("CALLER_REFUSED", "only people may call this")),
        (Caller::Service, SubjectKind::User) => return Err(Error::forbidden("CALLER_REFUSED", "only services may call this")),
        _ => {}
    }
    let cx = Cx::verified(verified, credential, call_id);
    // `within: TEAM` counts as APP until teams can be asked: stricter, never wider.
    if !access.permission.is_empty() && !cx.holds(&access.permission) {
        return Err(Error::forbidden("PERMISSION_MISSING", format!("the permission {} is needed", access.permission)));
    }
    step_up(access, &cx, now)?;
    let enters = matches!(access.tenancy(), Tenancy::Creates | Tenancy::Enters | Tenancy::Secret | Tenancy::Installation);
    Ok(if enters { cx.entering() } else { cx })
}

fn step_up(access: &Access, cx: &Cx, now: Time) -> Result<()> {
    let oldest = Duration::from_secs(u64::try_from(access.max_auth_age_seconds).unwrap_or(0));
    let age = now.since(cx.auth_time().unwrap_or_default());
    if !oldest.is_zero() && age > oldest {
        return Err(Error::forbidden("STEP_UP_REQUIRED", format!("a sign-in check of the last {} seconds is needed", oldest.as_secs())));
    }
    if cx.aal() < access.min_aal {
        return Err(Error::forbidden("STEP_UP_REQUIRED", format!("assurance level {} is needed", access.min_aal)));
    }
    Ok(())
}

/// The names in a message, as `names::find` gives them.
type Found<'a> = [(&'a NameField, &'a str)];

/// The context of a call by nobody: in the app of the first name, which comes with it. Errors: `FIELDS_INVALID` when none is
/// given, `NAME_INVALID`.
pub(crate) fn anonymous(method: &Method, access: &Access, found: &Found<'_>, call_id: &str) -> Result<(Cx, Option<Name>)> {
    if access.tenancy() == Tenancy::Secret {
        return Ok((Cx::anonymous(Tenant::system(), call_id).entering(), None));
    }
    let Some((field, raw)) = found.first() else {
        let missing = Error::invalid("FIELDS_INVALID", "the request names no app");
        return Err(method.names.iter().take(1).fold(missing, |error, name| error.field(&name.field, "is required")));
    };
    let name = field.read(raw)?;
    Ok((Cx::anonymous(name.tenant().clone(), call_id), Some(name)))
}

/// Checks every name of a message; `first` is the first of them, where it was read already. Errors: `NAME_INVALID`;
/// `NOT_FOUND` for a name that is not the caller's to use; `HOME_REQUIRED` when the caller's own things are asked for from
/// an app they only entered.
pub(crate) fn confine(access: &Access, cx: &Cx, found: &Found<'_>, mut first: Option<Name>) -> Result<()> {
    let of_caller = access.within() == Within::Self_;
    for (field, raw) in found {
        let name = first.take().map_or_else(|| field.read(raw), Ok)?;
        let is_free = match access.tenancy() {
            Tenancy::Creates | Tenancy::Secret | Tenancy::Installation => true,
            Tenancy::Enters => field.field.rsplit('.').next() == Some("target"),
            Tenancy::Name | Tenancy::Caller | Tenancy::Unspecified => false,
        };
        let is_theirs = name.tenant() == cx.tenant() && (!of_caller || is_own(cx, &name));
        if !is_free && !is_theirs {
            return Err(Error::not_found(raw));
        }
    }
    if of_caller && !is_at_home(cx) {
        return Err(Error::forbidden("HOME_REQUIRED", "call this with a token of the app you live in"));
    }
    Ok(())
}

fn is_at_home(cx: &Cx) -> bool {
    cx.subject().is_some_and(|subject| subject.home == *cx.tenant())
}

/// The app the caller lives in, `…/me` with everything below, and the caller's own user with everything below.
fn is_own(cx: &Cx, name: &Name) -> bool {
    let segments = name.segments();
    let own = match segments.as_slice() {
        [] | ["me", ..] => true,
        ["users", user, ..] => cx.subject().is_some_and(|subject| subject.id == *user),
        _ => false,
    };
    own && is_at_home(cx)
}
