//! Routes that know themselves. axum's router cannot be walked, and what cannot be walked cannot be checked: that every
//! route is described, and that every route asks for a key.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, any, delete, get, patch, post};
use http::Method;
use serde_json::Value;

/// A handler's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whose it is: a door's name in events, or the name of what stands beside the doors.
    pub door: &'static str,
    /// The method that it answers. What answers `GET` answers `HEAD` too.
    pub method: Method,
    /// As axum and OpenAPI both write it: `/orders/{id}`.
    pub path: String,
}

/// What describes a door's routes: the `paths`, `components` and `tags` of an OpenAPI document.
pub type Fragment = fn() -> Value;

/// What is known of routes without serving them.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Every handler's place, in the order in which they were put in.
    pub routes: Vec<Route>,
    /// What describes them.
    pub fragments: Vec<Fragment>,
}

impl Catalogue {
    /// This and that.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        self.fragments.extend(other.fragments);
        self
    }
}

/// A router beside the catalogue of what it serves. Every handler of the service is put in through here.
#[must_use]
pub struct Routes<S = ()> {
    door: &'static str,
    router: Router<S>,
    catalogue: Catalogue,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet, for the door of that name.
    pub fn new(door: &'static str) -> Self {
        Self {
            door,
            router: Router::new(),
            catalogue: Catalogue::default(),
        }
    }

    /// `handler` answers `GET path`, and `HEAD`.
    pub fn get<T: 'static>(self, path: &str, handler: impl Handler<T, S>) -> Self {
        self.with(Method::GET, path, get(handler))
    }

    /// `handler` answers `POST path`.
    pub fn post<T: 'static>(self, path: &str, handler: impl Handler<T, S>) -> Self {
        self.with(Method::POST, path, post(handler))
    }

    /// `handler` answers `PATCH path`.
    pub fn patch<T: 'static>(self, path: &str, handler: impl Handler<T, S>) -> Self {
        self.with(Method::PATCH, path, patch(handler))
    }

    /// `handler` answers `DELETE path`.
    pub fn delete<T: 'static>(self, path: &str, handler: impl Handler<T, S>) -> Self {
        self.with(Method::DELETE, path, delete(handler))
    }

    /// `handler` answers, in the door's own form, where a path above does not take the method; axum adds `Allow`.
    pub fn wrong_method<T: 'static>(mut self, handler: impl Handler<T, S>) -> Self {
        self.router = self.router.method_not_allowed_fallback(handler);
        self
    }

    /// `handler` answers, in the door's own form, on all paths like `/door/{*rest}` where nothing is. No operation.
    pub fn nothing_at<T: 'static>(mut self, path: &str, handler: impl Handler<T, S>) -> Self {
        self.router = self.router.route(path, any(handler));
        self
    }

    /// Puts something around all routes so far.
    pub fn around(mut self, layer: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        self.router = layer(self.router);
        self
    }

    /// Says what describes these routes.
    pub fn described_by(mut self, fragment: Fragment) -> Self {
        self.catalogue.fragments.push(fragment);
        self
    }

    /// These and those.
    ///
    /// # Panics
    /// Where both have a handler for one method and path, at the start of the service.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.catalogue = self.catalogue.and(other.catalogue);
        self
    }

    /// The same with the handlers' state in it.
    pub fn with_state<S2>(self, state: S) -> Routes<S2> {
        Routes {
            door: self.door,
            router: self.router.with_state(state),
            catalogue: self.catalogue,
        }
    }

    fn with(mut self, method: Method, path: &str, handler: MethodRouter<S>) -> Self {
        self.router = self.router.route(path, handler);
        self.catalogue.routes.push(Route {
            door: self.door,
            method,
            path: path.to_owned(),
        });
        self
    }
}

impl<S> Routes<S> {
    /// What is known of them.
    pub fn catalogue(&self) -> Catalogue {
        self.catalogue.clone()
    }

    /// The router, to be served.
    pub fn router(self) -> Router<S> {
        self.router
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::{Request, State};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    fn routes() -> Routes<&'static str> {
        let state = |State(it): State<&'static str>| async move { it };
        let other = Routes::new("other").delete("/b", || async { "gone" });
        Routes::new("one")
            .get("/a/{id}", state)
            .post("/a/{id}", || async { "posted" })
            .wrong_method(|| async { "not so" })
            .nothing_at("/{*rest}", || async { "nothing" })
            .merge(other)
    }

    #[test]
    fn what_is_served_is_listed_and_what_only_refuses_is_not() {
        let routes = routes();
        let list: Vec<_> = routes
            .catalogue()
            .routes
            .iter()
            .map(|it| format!("{} {} {}", it.door, it.method, it.path))
            .collect();
        assert_eq!(
            list,
            ["one GET /a/{id}", "one POST /a/{id}", "other DELETE /b"]
        );
    }

    #[tokio::test]
    async fn what_is_listed_is_served() {
        for (method, path, expected) in [
            (Method::GET, "/a/1", "state"),
            (Method::POST, "/a/1", "posted"),
            (Method::PATCH, "/a/1", "not so"),
            (Method::GET, "/nowhere", "nothing"),
            (Method::DELETE, "/b", "gone"),
        ] {
            let router: Router = routes().with_state("state").router();
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let answer = router.oneshot(request).await.unwrap().into_body();
            assert_eq!(answer.collect().await.unwrap().to_bytes(), expected);
        }
    }
}
