//! Which route a request is for, and whether its `Host` is one of the hub's: judged before anything else of it.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use hubbub_actors::model::fault::{Code, Fault};

use crate::admission;
use crate::policies::Policies;

/// Checks the request's host, and rewrites its path to the route: without `server.base_path` and without a slash at its end.
///
/// # Errors
/// [`Code::HostNotAllowed`], and [`Code::NotFound`] for what is not under the base path.
pub(super) fn apply_route(policies: &Policies, request: &mut ServiceRequest) -> Result<(), Fault> {
    let path = request.path();
    let route = policies.base.route(path);
    admission::check_host(policies, request.head(), route)?;
    let route = route.ok_or_else(|| admission::outside_base_path(&policies.base))?;
    if route == path {
        return Ok(());
    }
    let uri = with_path(request.uri(), route).ok_or_else(|| Fault::new(Code::NotFound, "There is nothing here"))?;
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
