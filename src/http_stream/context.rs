//! The state that the HTTP streams of one worker share.

use std::rc::Rc;
use std::sync::Arc;

use super::connections::Connections;
use super::pacer::Pacer;
use crate::notices::Notices;
use crate::peer::BasePath;

/// The shared state of one worker's streams.
#[derive(Debug)]
pub(super) struct StreamContext {
    /// The plain connections of all workers, with the time limits.
    pub(super) connections: Arc<Connections>,
    pub(super) pacer: Rc<Pacer>,
    pub(super) notices: Arc<Notices>,
    /// The path prefix of all routes.
    pub(super) base: BasePath,
}
