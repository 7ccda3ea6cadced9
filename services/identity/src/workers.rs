//! What the scheduler runs when the time of a document has come. Each goes on where an interrupted one stopped.

use std::sync::Arc;

use ::events::Worker;
use kernel::Cx;
use storage::{Answer, Collection, Record};

use crate::domain::app::App;
use crate::domain::user::User;
use crate::records::Claim;
use crate::state::Core;

/// One for each kind of document that waits for something.
pub(crate) fn all(core: &Arc<Core>) -> Vec<Arc<dyn Worker>> {
    vec![Arc::new(Founding(core.clone())), Arc::new(PurgeOfPeople(core.clone())), Arc::new(PurgeOfApps(core.clone()))]
}

struct Founding(Arc<Core>);

impl Worker for Founding {
    fn kind(&self) -> &'static Collection {
        const { &Claim::KIND }
    }

    fn work<'a>(&'a self, cx: &'a Cx, id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.0.resume_founding(cx, id))
    }
}

struct PurgeOfPeople(Arc<Core>);

impl Worker for PurgeOfPeople {
    fn kind(&self) -> &'static Collection {
        const { &User::KIND }
    }

    fn work<'a>(&'a self, cx: &'a Cx, id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.0.purge_user(cx, id))
    }
}

struct PurgeOfApps(Arc<Core>);

impl Worker for PurgeOfApps {
    fn kind(&self) -> &'static Collection {
        const { &App::KIND }
    }

    fn work<'a>(&'a self, cx: &'a Cx, _: &'a str) -> Answer<'a, ()> {
        Box::pin(self.0.purge_app(cx))
    }
}
