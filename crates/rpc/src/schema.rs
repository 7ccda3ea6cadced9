//! The contracts as data, computed once: every method with its access rule, limits and name fields.
//! What a node refuses to start on is judged in `start`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::mozaiks::options::v1::{Access, Call, Priority};
use http::Uri;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::metrics::{Meter, Refusals};
use crate::names::NameField;
use crate::options::Options;
use crate::start;

/// Packages of ours; every method in them carries an access rule.
pub(crate) const OURS: &str = "mozaiks.";

/// All contracts of a node. Shared as `Arc<Schema>`.
pub struct Schema {
    pool: DescriptorPool,
    descriptor_set: Vec<u8>,
    methods: HashMap<String, Arc<Method>>,
    /// Counts calls that failed, whatever their method.
    pub(crate) refusals: Refusals,
}

/// One method of a contract.
#[derive(Clone, Debug)]
pub struct Method {
    /// `/mozaiks.identity.v1.AppsService/GetApp`.
    pub path: String,
    /// The same, as a request has it.
    pub uri: Uri,
    /// The area it belongs to: `identity` for `mozaiks.identity.v1`; empty for packages that are not ours.
    pub area: Arc<str>,
    /// Its descriptor.
    pub descriptor: MethodDescriptor,
    /// Who may call it. None only in packages that are not ours, such as health and reflection.
    pub access: Option<Access>,
    /// How it is carried.
    pub call: Limits,
    /// Where its request carries names.
    pub names: Vec<NameField>,
    /// Counts its calls, so that the set of what is counted is the contracts' and no larger.
    pub(crate) meter: Arc<Meter>,
}

/// How a method is carried, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Deadline of a call that brings none. None on streams without one of their own: they live for `stream_lifetime`.
    pub deadline: Option<Duration>,
    /// Longest deadline a caller may ask for.
    pub max_deadline: Duration,
    /// Longest life of a stream.
    pub stream_lifetime: Duration,
    /// Largest request message.
    pub max_request_bytes: usize,
    /// Largest answer message in binary form.
    pub max_answer_bytes: usize,
    /// Which calls go first when the process is full.
    pub priority: Priority,
    /// Extra request headers handed to the handler, in lower case.
    pub request_headers: Vec<String>,
}

impl Schema {
    /// Reads an encoded `google.protobuf.FileDescriptorSet`. Errors: everything a node refuses to start on, all at once,
    /// each naming its method.
    pub fn read(descriptor_set: &[u8]) -> Result<Self, Vec<String>> {
        let pool = DescriptorPool::decode(descriptor_set).map_err(|error| vec![format!("the contracts cannot be read: {error}")])?;
        let options = Options::of(&pool);
        let mut methods = HashMap::new();
        let mut faults = Vec::new();
        for descriptor in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let method = Method::of(descriptor, &options, &mut faults);
            methods.insert(method.path.clone(), Arc::new(method));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self { pool, descriptor_set: descriptor_set.to_vec(), methods, refusals: Refusals::default() })
    }

    /// Counts a package that is not ours as an area of this name, so that doors serve it, without any access rule. For tests
    /// with services that nobody here wrote; a node never does.
    #[must_use]
    pub fn adopting(mut self, package: &str, area: &str) -> Self {
        let foreign = |method: &Method| method.area.is_empty() && method.descriptor.parent_service().package_name() == package;
        for method in self.methods.values_mut().filter(|method| foreign(method)) {
            *method = Arc::new(Method { area: area.into(), ..Method::clone(method) });
        }
        self
    }

    /// The method at a request path. Exact: one leading slash, nothing behind.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// All methods, in no order.
    pub fn methods(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.methods.values()
    }

    /// The descriptors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The descriptors as they were read, options and comments included.
    pub fn descriptor_set(&self) -> &[u8] {
        &self.descriptor_set
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} methods)", self.methods.len())
    }
}

impl Method {
    fn of(descriptor: MethodDescriptor, options: &Options, faults: &mut Vec<String>) -> Self {
        let service = descriptor.parent_service();
        let path = format!("/{}/{}", service.full_name(), descriptor.name());
        let ours = service.package_name().strip_prefix(OURS);
        let area = ours.map(|rest| rest.split('.').next().unwrap_or(rest).into());
        let call = Limits::of(&options.call(&descriptor), &descriptor);
        let is_ours = area.is_some();
        // Names of the contracts are letters that a path may hold.
        let uri = path.parse().unwrap_or_default();
        let mut method = Self {
            path,
            uri,
            area: area.unwrap_or_default(),
            access: options.access(&descriptor),
            call,
            names: Vec::new(),
            meter: Arc::default(),
            descriptor: descriptor.clone(),
        };
        if is_ours {
            let (names, mut found) = start::request_fields(options, &method.descriptor.input());
            method.names = names;
            found.extend(start::refusals(&method).into_iter().map(str::to_owned));
            faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", method.path)));
        }
        method
    }

    /// Whether messages flow one after another in either direction.
    pub(crate) fn is_stream(&self) -> bool {
        self.descriptor.is_client_streaming() || self.descriptor.is_server_streaming()
    }
}

impl Limits {
    fn of(call: &Call, method: &MethodDescriptor) -> Self {
        let milliseconds = |value: i32| (value > 0).then(|| Duration::from_millis(value.unsigned_abs().into()));
        let bytes = |value: i32, default: usize| usize::try_from(value).ok().filter(|bytes| *bytes > 0).unwrap_or(default);
        let stream = method.is_client_streaming() || method.is_server_streaming();
        let stream_lifetime = milliseconds(call.stream_lifetime_seconds.saturating_mul(1_000)).unwrap_or(Duration::from_secs(30 * 60));
        let longest = if stream { stream_lifetime } else { Duration::from_secs(60) };
        Self {
            deadline: milliseconds(call.deadline_milliseconds).or((!stream).then_some(Duration::from_secs(10))),
            max_deadline: milliseconds(call.max_deadline_milliseconds).unwrap_or(longest),
            stream_lifetime,
            max_request_bytes: bytes(call.max_request_bytes, 1 << 20),
            max_answer_bytes: bytes(call.max_answer_bytes, 4 << 20),
            priority: priority(call, method),
            request_headers: call.request_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }
}

fn priority(call: &Call, method: &MethodDescriptor) -> Priority {
    match call.priority() {
        Priority::Unspecified if start::has_no_side_effects(method) => Priority::Read,
        Priority::Unspecified => Priority::Write,
        stated => stated,
    }
}
