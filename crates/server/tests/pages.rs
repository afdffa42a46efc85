//! The pages inside the binary.

use crate::http::send;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn home_says_what_this_is_in_two_languages() {
    let world = World::start().await;
    let chinese = send(world.http, "GET / HTTP/1.1", b"").await;
    let english = send(world.http, "GET / HTTP/1.1\nAccept-Language: en", b"").await;
    for (answer, text) in [(&chinese, "服务器"), (&english, "camera cloud")] {
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with("text/html"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(server::pages::built() == answer.body.contains(text) || !server::pages::built(), "{}", answer.body);
    }
    assert!(server::pages::built() || chinese.body.contains("make build"), "{}", chinese.body);
    world.stop().await;
}

/// With the front end built its page comes; without it, the answer says so. Paths never leave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn front_end_is_served_at_m() {
    let world = World::start().await;
    let page = send(world.http, "GET /m/ HTTP/1.1", b"").await;
    if server::pages::built() {
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("<div id=\"app\""), "{}", page.body);
        assert_eq!(page.header("cache-control"), "no-cache");
        assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
        let again = send(world.http, &format!("GET /m/ HTTP/1.1\nIf-None-Match: {}", page.header("etag")), b"").await;
        assert_eq!(again.status, 304);
    } else {
        assert_eq!(page.status, 404);
        assert!(page.body.contains("make build"), "{}", page.body);
    }
    for path in [
        "/m/../Cargo.toml",
        "/m/..%2f..%2fCargo.toml",
        "/m/%2e%2e/package.json",
        "/m//etc/passwd",
        "/m/..%5c..%5cCargo.toml",
    ] {
        let answer = send(world.http, &format!("GET {path} HTTP/1.1"), b"").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    assert_eq!(send(world.http, "GET /m HTTP/1.1", b"").await.status, 308);
    world.stop().await;
}
