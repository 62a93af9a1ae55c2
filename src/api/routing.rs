//! The first check of a request: its `Host`, and its route under the base path.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use hubbub_actors::model::fault::{Code, Fault};

use crate::admission;
use crate::policies::Policies;

/// Checks the host, and rewrites the path to the route: without `server.base_path` and without a slash at the end.
///
/// # Errors
/// [`Code::HostNotAllowed`], and [`Code::NotFound`] for a path outside the base path.
pub(super) fn apply_route(policies: &Policies, request: &mut ServiceRequest) -> Result<(), Fault> {
    let path = request.path();
    let route = policies.base.route(path);
    admission::check_host(policies, request.head(), route)?;
    let route = route.ok_or_else(|| admission::outside_base_path(&policies.base))?;
    if route == path {
        return Ok(());
    }
    let uri = with_path(request.uri(), route).ok_or_else(|| Fault::new(Code::NotFound, "No endpoint at this path"))?;
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
    Ok(())
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.try_into().ok()?);
    Uri::from_parts(parts).ok()
}
