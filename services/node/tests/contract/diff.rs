//! What a newer image breaks of an older one's promises. Adding is fine. Packages still in alpha or beta promise nothing.

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

use crate::options;

/// Two images.
struct Images<'a> {
    old: &'a DescriptorPool,
    new: &'a DescriptorPool,
}

/// Every broken promise, each naming what breaks it.
pub(crate) fn broken(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let images = Images { old, new };
    let mut faults = images.extensions();
    for method in methods(old) {
        let name = method.full_name();
        let newer = methods(new).into_iter().find(|newer| newer.full_name() == name);
        let found = newer.map_or_else(|| vec!["is gone".to_owned()], |newer| images.method(&method, &newer));
        faults.extend(found.into_iter().map(|fault| format!("{name} {fault}")));
    }
    for message in old.all_messages().filter(|message| is_promised(message.package_name())) {
        let name = message.full_name();
        let newer = new.get_message_by_name(name);
        let found = newer.map_or_else(|| vec!["is gone".to_owned()], |newer| images.message(&message, &newer));
        faults.extend(found.into_iter().map(|fault| format!("{name} {fault}")));
    }
    faults
}

/// Deprecations that do not say until when: judged from one image alone.
pub(crate) fn deprecations(pool: &DescriptorPool) -> Vec<String> {
    let said = methods(pool).into_iter().map(|method| (method.full_name().to_owned(), options::stability(pool, &method)));
    let messages = pool.all_messages().filter(|message| is_promised(message.package_name()));
    let fields = messages.flat_map(|message| message.fields().collect::<Vec<_>>());
    let fields = fields.map(|field| (field.full_name().to_owned(), options::field_stability(pool, &field)));
    let endless = said.chain(fields).filter(|(_, said)| !said.deprecated_since.is_empty() && said.sunset.is_empty());
    endless.map(|(name, _)| format!("{name} is deprecated without a sunset")).collect()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let services = pool.services().filter(|service| is_promised(service.package_name()));
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn is_promised(package: &str) -> bool {
    let version = package.rsplit('.').next().unwrap_or_default();
    package.starts_with("mozaiks.") && !["alpha", "beta", "test"].iter().any(|stage| version.contains(stage))
}

impl Images<'_> {
    fn extensions(&self) -> Vec<String> {
        let ours = self.old.all_extensions().filter(|extension| extension.package_name().starts_with("mozaiks."));
        let faults = ours.filter_map(|extension| {
            let number = |pool: &DescriptorPool| pool.get_extension_by_name(extension.full_name()).map(|newer| newer.number());
            let newer = number(self.new);
            (newer != Some(extension.number()))
                .then(|| format!("{} had the number {} and has {newer:?}", extension.full_name(), extension.number()))
        });
        faults.collect()
    }

    fn method(&self, old: &MethodDescriptor, new: &MethodDescriptor) -> Vec<String> {
        let mut faults = self.places(old, new);
        faults.extend(self.access(old, new));
        faults.extend(self.limits(old, new));
        faults
    }

    fn places(&self, old: &MethodDescriptor, new: &MethodDescriptor) -> Vec<String> {
        let newer = options::bindings(self.new, new);
        let mut faults = Vec::new();
        for binding in options::bindings(self.old, old) {
            match newer.iter().find(|newer| newer.place == binding.place) {
                None => faults.push(format!("is not at {} any more", binding.place)),
                Some(newer) if *newer != binding => faults.push(format!("has other bodies at {}", binding.place)),
                Some(_) => {}
            }
        }
        faults
    }

    /// Weaker rules open a door, other rules close one: whom they let in is a promise in both directions. Assurance may
    /// be raised.
    fn access(&self, old: &MethodDescriptor, new: &MethodDescriptor) -> Vec<String> {
        let (old, new) = (options::access(self.old, old), options::access(self.new, new));
        let changes = [
            ("plane", format!("{:?}", old.plane()), format!("{:?}", new.plane())),
            ("caller", format!("{:?}", old.caller()), format!("{:?}", new.caller())),
            ("permission", old.permission.clone(), new.permission.clone()),
            ("within", format!("{:?}", old.within()), format!("{:?}", new.within())),
            ("tenancy", format!("{:?}", old.tenancy()), format!("{:?}", new.tenancy())),
        ];
        let changed = changes.into_iter().filter(|(_, old, new)| old != new);
        let mut faults: Vec<String> = changed.map(|(what, old, new)| format!("has another {what}: `{old}` became `{new}`")).collect();
        // 0 = any age, which is the weakest.
        let age = |seconds: i32| if seconds == 0 { i32::MAX } else { seconds };
        let lowered = [
            (age(new.max_auth_age_seconds) > age(old.max_auth_age_seconds), "max_auth_age_seconds"),
            (new.min_aal < old.min_aal, "min_aal"),
            (old.fresh && !new.fresh, "fresh"),
            (old.test_apps_only && !new.test_apps_only, "test_apps_only"),
        ];
        faults
            .extend(lowered.into_iter().filter(|(is_lowered, _)| *is_lowered).map(|(_, what)| format!("asks for less assurance: {what}")));
        faults
    }

    fn limits(&self, old: &MethodDescriptor, new: &MethodDescriptor) -> Vec<String> {
        let (old, new) = (options::call(self.old, old), options::call(self.new, new));
        let limits = [
            ("deadline_milliseconds", 10_000, old.deadline_milliseconds, new.deadline_milliseconds),
            ("max_deadline_milliseconds", 60_000, old.max_deadline_milliseconds, new.max_deadline_milliseconds),
            ("stream_lifetime_seconds", 1_800, old.stream_lifetime_seconds, new.stream_lifetime_seconds),
            ("max_request_bytes", 1 << 20, old.max_request_bytes, new.max_request_bytes),
            ("max_answer_bytes", 4 << 20, old.max_answer_bytes, new.max_answer_bytes),
        ];
        let stated =
            limits.map(|(what, default, old, new)| (what, if old == 0 { default } else { old }, if new == 0 { default } else { new }));
        let lowered = stated.into_iter().filter(|(_, old, new)| new < old);
        lowered.map(|(what, old, new)| format!("has a lower {what}: {old} became {new}")).collect()
    }

    fn message(&self, old: &MessageDescriptor, new: &MessageDescriptor) -> Vec<String> {
        let was_required = |number| old.get_field(number).is_some_and(|field| options::is_required(self.old, &field));
        let required = new.fields().filter(|field| options::is_required(self.new, field) && !was_required(field.number()));
        let mut faults: Vec<String> = required.map(|field| format!("requires {} now", field.name())).collect();
        let Some((kind, patterns)) = options::resource(self.old, old) else { return faults };
        let (new_kind, new_patterns) = options::resource(self.new, new).unwrap_or_default();
        if kind != new_kind {
            faults.push(format!("is another resource: {kind} became {new_kind}"));
        }
        // Those that were there keep their places; more may follow.
        if !new_patterns.starts_with(&patterns) {
            faults.push(format!("has other names: {} became {}", patterns.join(", "), new_patterns.join(", ")));
        }
        faults
    }
}
