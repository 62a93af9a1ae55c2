//! `GET /api/rooms/…/history`: pages of a topic's history.

use super::*;

#[tokio::test]
async fn pages_of_history_are_read_over_http_in_both_directions() {
    let hub = hub(8, "");
    for n in 1..=10 {
        push(&hub, "log/of today", &json!({"n": n}));
    }
    let read = |query: &str| {
        let answer = hub.http().request("GET", &format!("/api/rooms/log%2Fof%20today/history{query}")).key().send();
        (answer.status, answer.json())
    };
    let numbers = |page: &Value| -> (Vec<u64>, bool) {
        let messages = page["messages"].as_array().unwrap().iter();
        (messages.map(|message| message["offset"].as_u64().unwrap()).collect(), page["hasMore"].as_bool().unwrap())
    };
    let (status, page) = read("?limit=1");
    let position = position(&hub, "log/of today").await;
    let message = &page["messages"][0];
    assert_eq!(status, 200);
    assert_eq!(
        page,
        json!({
            "success": true,
            "room": "log/of today",
            "epoch": position["epoch"],
            "messages": [{"offset": 10, "event": "news", "data": {"n": 10}, "timestamp": message["timestamp"]}],
            "hasMore": true,
            "timestamp": page["timestamp"],
        })
    );
    assert!(message["timestamp"].as_str().unwrap().ends_with('Z'), "{message}");
    for (query, offsets, more) in [
        ("", vec![3, 4, 5, 6, 7, 8, 9, 10], false),
        ("?limit=3", vec![8, 9, 10], true),
        ("?limit=3&before=8", vec![5, 6, 7], true),
        ("?limit=3&before=5", vec![3, 4], false),
        ("?limit=3&before=1", vec![], false),
        ("?limit=3&after=0", vec![3, 4, 5], true),
        ("?limit=3&after=5", vec![6, 7, 8], true),
        ("?limit=3&after=8", vec![9, 10], false),
        ("?limit=3&after=10", vec![], false),
    ] {
        assert_eq!(numbers(&read(query).1), (offsets, more), "{query}");
    }
    for (query, parameter) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?before=x", "before"),
        ("?after=-1", "after"),
        ("?before=1&after=1", "after"),
    ] {
        let (status, body) = read(query);
        assert_eq!(
            (status, &body["code"], &body["success"]),
            (400, &json!("INVALID_REQUEST"), &json!(false)),
            "{query}"
        );
        assert!(body["error"].as_str().unwrap().contains(&format!("`{parameter}`")), "{query}: {body}");
    }
    let nothing = hub.http().request("GET", "/api/rooms/unheard%20of/history").key().send();
    assert_eq!((nothing.status, &nothing.json()["code"]), (404, &json!("NOT_FOUND")), "{nothing:?}");
    assert_eq!(hub.get("/api/rooms/log/history").status, 401);
    // A room name that ends in `/history` must be escaped in the request.
    let named = hub.http().request("GET", "/api/rooms/a%2Fhistory").key().send();
    assert_eq!((named.status, &named.json()["error"]), (404, &json!("No such room")));
}
