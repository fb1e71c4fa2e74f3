//! The gateway as a subgraph.

use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, TOKEN};

const ENTITIES: &str =
    "query ($r: [_Any!]!) { _entities(representations: $r) { ... on ScreenRecord { id } } }";

fn representation(id: &str) -> Value {
    json!({ "__typename": "ScreenRecord", "projectId": PROJECT, "id": id })
}

async fn ask(gateway: &Gateway, representations: &[Value]) -> Value {
    let body = json!({ "query": ENTITIES, "variables": { "r": representations } }).to_string();
    let request = gateway.http().post(gateway.url()).body(body);
    let request = request.header("content-type", "application/json").header("x-auth-token", TOKEN);
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

async fn gateway() -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| match seen.path.rsplit('/').next() {
        Some("missing") => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
        id => Reply::json(200, &json!({ "id": id })),
    });
    Gateway::before(upstream.await).await
}

#[tokio::test]
async fn many_representations_of_few_keys_make_few_calls() {
    let gateway = gateway().await;
    let representations: Vec<Value> =
        (0..60).map(|number| representation(&format!("r{}", number % 3))).collect();

    let answer = ask(&gateway, &representations).await;

    assert_eq!(gateway.upstream_requests(), 3);
    assert_eq!(answer["data"]["_entities"][59]["id"], "r2");
}

#[tokio::test]
async fn a_missing_entity_is_null_with_its_own_error_and_the_others_are_answered() {
    let gateway = gateway().await;
    let representations = [
        representation("a"),
        representation("missing"),
        json!({ "__typename": "Desktop", "id": "d" }),
        json!({ "__typename": "ScreenRecord", "id": "no-project" }),
        representation("../x"),
        representation("b"),
    ];

    let answer = ask(&gateway, &representations).await;

    let ids: Vec<&Value> = (0..6).map(|at| &answer["data"]["_entities"][at]["id"]).collect();
    assert_eq!(json!(ids), json!(["a", null, null, null, null, "b"]));
    let errors: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["path"].clone(), error["extensions"]["code"].clone()))
        .collect();
    assert_eq!(
        json!(errors),
        json!([
            [["_entities", 1], "NOT_FOUND"],
            [["_entities", 2], "BAD_USER_INPUT"],
            [["_entities", 3], "BAD_USER_INPUT"],
            [["_entities", 4], "BAD_USER_INPUT"],
        ])
    );
}

#[tokio::test]
async fn a_number_is_an_id_in_a_representation_as_in_an_argument() {
    let gateway = gateway().await;
    let numbers = json!({ "__typename": "ScreenRecord", "projectId": 7, "id": 12 });
    let fraction = json!({ "__typename": "ScreenRecord", "projectId": PROJECT, "id": 1.5 });

    let answer = ask(&gateway, &[numbers, fraction]).await;

    assert_eq!(answer["data"]["_entities"][0]["id"], "12");
    assert_eq!(answer["errors"][0]["path"], json!(["_entities", 1]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!(
        gateway.upstream.seen()[0].path.split('/').skip(2).collect::<Vec<_>>(),
        ["7", "screen-records", "12"]
    );
}

#[tokio::test]
async fn federation_fields_are_hidden_from_introspection() {
    let gateway = gateway().await;

    let answer = gateway.query("{ __type(name: \"Query\") { fields { name } } }").await;

    assert_eq!(
        answer["data"]["__type"]["fields"],
        json!([{ "name": "screenRecord" }, { "name": "screenRecords" }, { "name": "projects" },
            { "name": "screenRecordStatistics" }])
    );
}
